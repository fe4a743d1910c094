_zroot() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="zroot"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        zroot)
            opts="-c -S -i -s -v -C -h -V --tmpfs --dev --pid --setenv --unsetenv --userns --consistency --owners --if-needed --allow-new-privs --no-sync --no-apt-config --split-string --summary --trace --fail-on --load --save --check --verbose --fake --no-fake --dump-filter --arch --explain --chdir --root --bind --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --tmpfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dev)
                    COMPREPLY=($(compgen -W "host private" -- "${cur}"))
                    return 0
                    ;;
                --setenv)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --unsetenv)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --userns)
                    COMPREPLY=($(compgen -W "auto never" -- "${cur}"))
                    return 0
                    ;;
                --consistency)
                    COMPREPLY=($(compgen -W "zero selective full auto" -- "${cur}"))
                    return 0
                    ;;
                -c)
                    COMPREPLY=($(compgen -W "zero selective full auto" -- "${cur}"))
                    return 0
                    ;;
                --owners)
                    COMPREPLY=($(compgen -W "xattr" -- "${cur}"))
                    return 0
                    ;;
                --split-string)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -S)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --summary)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --trace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --fail-on)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --load)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -i)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --save)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -s)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --check)
                    COMPREPLY=($(compgen -W "text json" -- "${cur}"))
                    return 0
                    ;;
                --fake)
                    COMPREPLY=($(compgen -W "owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all" -- "${cur}"))
                    return 0
                    ;;
                --no-fake)
                    COMPREPLY=($(compgen -W "owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all" -- "${cur}"))
                    return 0
                    ;;
                --dump-filter)
                    COMPREPLY=($(compgen -W "asm raw c oci" -- "${cur}"))
                    return 0
                    ;;
                --arch)
                    COMPREPLY=($(compgen -W "x86_64 x32 i386 aarch64 arm ppc64le s390x s390 riscv64 riscv32 loongarch64 mips64el mipsn32el mipsel all" -- "${cur}"))
                    return 0
                    ;;
                --explain)
                    COMPREPLY=($(compgen -W "chown fchown lchown fchownat chown32 fchown32 lchown32 semctl msgctl shmctl setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32 setgroups32 capget capset prctl mknod mknodat landlock_restrict_self kexec_load getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getresuid getresgid getgroups getresuid32 getresgid32 getgroups32 sync syncfs fsync fdatasync msync sync_file_range sync_file_range2 setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat utimensat_time64 ioctl file_setattr sethostname setdomainname settimeofday clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64 stime nice setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set setrlimit getrlimit ugetrlimit prlimit64 mlock mlock2 mlockall mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr chroot pivot_root setns unshare open creat openat openat2 mkdir mkdirat symlink symlinkat unlink unlinkat rmdir rename renameat renameat2 execve execveat io_uring_setup oldstat oldfstat oldlstat stat fstat lstat newfstatat stat64 fstat64 lstat64 fstatat64 statx getsockopt connect listen socketpair bind socketcall" -- "${cur}"))
                    return 0
                    ;;
                --chdir)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                -C)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                --root)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                --bind)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _zroot -o nosort -o bashdefault -o default zroot
else
    complete -F _zroot -o bashdefault -o default zroot
fi
