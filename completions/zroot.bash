# Made from the definition of the options: ZROOT_BLESS=1 cargo test --release --test it completions

# Names of files, as the shell itself completes them.
_zroot_files() {
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen "$1" -- "$cur"))
}

# The last of some words with commas between them.
_zroot_list() {
    local before=
    [[ $cur == *,* ]] && before=${cur%,*},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${cur##*,}"))
    compopt -o nospace 2>/dev/null
}

_zroot() {
    local cur=${COMP_WORDS[COMP_CWORD]} at=1 option= word none=
    COMPREPLY=()
    # Bash has '=' as a word of its own.
    while ((at < COMP_CWORD)); do
        word=${COMP_WORDS[at]} option=
        case $word in
            --) ((at++)); none=1; break ;;
            --explain|--check|--dump-filter) none=nothing ;;&
            --tmpfs|--dev|--setenv|--unsetenv|--userns|-c|--consistency|--owners|-i|--load|-s|--save|--error-fd|--fake|--no-fake|--fail-on|--arch|--explain|-C|--chdir|--root|--bind|-S|--split-string) option=$word ;;
            --*) ;;
            -*[cisCS]) [[ ${word%?} == *[cisCS]* ]] || option=-${word: -1} ;;
            -?*) ;;
            *) none=${none:-1}; break ;;
        esac
        if [[ ${COMP_WORDS[at + 1]} == = && $word == --* ]]; then
            option=$word
            ((at + 1 == COMP_CWORD)) && cur=
            ((at += 2))
        elif [[ $option ]]; then
            ((at++))
        fi
        ((at == COMP_CWORD)) && break
        ((at++ )); option=
    done
    if [[ $option ]] && ((at == COMP_CWORD)); then
        case $option in
        --tmpfs) _zroot_files -f ;;
        --dev) COMPREPLY=($(compgen -W "host private" -- "$cur")) ;;
        --setenv) _zroot_files -f ;;
        --unsetenv) _zroot_files -f ;;
        --userns) COMPREPLY=($(compgen -W "auto never" -- "$cur")) ;;
        -c|--consistency) COMPREPLY=($(compgen -W "zero selective full auto" -- "$cur")) ;;
        --owners) COMPREPLY=($(compgen -W "xattr" -- "$cur")) ;;
        -i|--load) _zroot_files -f ;;
        -s|--save) _zroot_files -f ;;
        --check) COMPREPLY=($(compgen -W "text json" -- "$cur")) ;;
        --error-fd) _zroot_files -f ;;
        --fake) _zroot_list "owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all" ;;
        --no-fake) _zroot_list "owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all" ;;
        --fail-on) _zroot_list "owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all" ;;
        --dump-filter) COMPREPLY=($(compgen -W "asm raw c oci" -- "$cur")) ;;
        --arch) COMPREPLY=($(compgen -W "x86_64 x32 i386 aarch64 arm ppc64le s390x s390 riscv64 riscv32 loongarch64 mips64el mipsn32el mipsel all" -- "$cur")) ;;
        --explain) COMPREPLY=($(compgen -W "chown fchown lchown fchownat chown32 fchown32 lchown32 semctl msgctl shmctl setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32 setgroups32 capget capset prctl mknod mknodat landlock_restrict_self kexec_load getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getresuid getresgid getgroups getresuid32 getresgid32 getgroups32 sync syncfs fsync fdatasync msync sync_file_range sync_file_range2 setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat utimensat_time64 ioctl file_setattr sethostname setdomainname settimeofday clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64 stime nice setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set setrlimit getrlimit ugetrlimit prlimit64 mlock mlock2 mlockall mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr chroot pivot_root setns unshare open creat openat openat2 mkdir mkdirat symlink symlinkat unlink unlinkat rmdir rename renameat renameat2 execve execveat io_uring_setup oldstat oldfstat oldlstat stat fstat lstat newfstatat stat64 fstat64 lstat64 fstatat64 statx getsockopt connect listen socketpair bind socketcall" -- "$cur")) ;;
        -C|--chdir) _zroot_files -d ;;
        --root) _zroot_files -d ;;
        --bind) _zroot_files -f ;;
        --summary) _zroot_files -f ;;
        --trace) _zroot_files -f ;;
        -S|--split-string) : ;;
        esac
    elif [[ $none != 1 && $cur == -* ]]; then
        COMPREPLY=($(compgen -W "--tmpfs --dev --pid --setenv --unsetenv --userns -c --consistency --owners --if-needed --allow-new-privs --no-sync --no-apt-config -i --load -s --save --check --error-fd -q --quiet -v --verbose --fake --no-fake --fail-on --dump-filter --arch --explain -C --chdir --root --bind --summary --trace -S --split-string -h --help -V --version" -- "$cur"))
    elif [[ $none == nothing ]]; then
        :
    elif declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$at"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$at"
    elif ((at == COMP_CWORD)); then
        COMPREPLY=($(compgen -c -- "$cur"))
    else
        _zroot_files -f
    fi
}

complete -F _zroot zroot
