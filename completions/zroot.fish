# Made from the definition of the options: ZROOT_BLESS=1 cargo test --release --test it completions

# The words of COMMAND before the cursor, or status 1 where it has not begun.
function __zroot_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                set -q words[1]; and printf '%s\n' $words
                return 0
            case --tmpfs --dev --setenv --unsetenv --userns -c --consistency --owners -i --load -s --save --error-fd --fake --no-fake --fail-on --arch --explain -C --chdir --root --bind -S --split-string
                set -e words[1]
                # Its value is what is being typed.
                set -q words[1]; or return 1
            case '-*'
                if string match -qr -- '^-[^-cisCS]*[cisCS]$' $words[1]
                    set -e words[1]
                    set -q words[1]; or return 1
                end
            case '*'
                printf '%s\n' $words
                return 0
        end
        set -e words[1]
    end
    return 1
end

function __zroot_complete_command
    set -l words (__zroot_command)
    set -l word (commandline -ct)
    # zroot's own options come first.
    set -q words[1]; or not string match -q -- '-*' $word; or return
    set -l line (string join ' ' -- (string escape -- $words) $word)
    complete --do-complete="$line"
end

# Whether an option comes next that runs no COMMAND.
function __zroot_runs_none
    string match -qr -- '^--(explain|check|dump-filter)' (commandline -opc)
end

complete -c zroot -f
complete -c zroot -n 'not __zroot_runs_none' -a '(__zroot_complete_command)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l tmpfs -d 'Mount an empty file system in memory at DIR inside the root directory' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l dev -d 'Whose /dev the root directory gets' -r -f -a 'host private'
complete -c zroot -n 'not __zroot_command >/dev/null' -l pid -d 'Run COMMAND in a PID namespace, with a /proc of its own; what it leaves running ends with it'
complete -c zroot -n 'not __zroot_command >/dev/null' -l setenv -d 'Set the environment variable VAR to VALUE' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l unsetenv -d 'Remove the environment variable VAR' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l userns -d 'Whether to enter a user namespace' -r -f -a 'auto never'
complete -c zroot -n 'not __zroot_command >/dev/null' -s c -l consistency -d 'How far the pretence goes' -r -f -a 'zero selective full auto'
complete -c zroot -n 'not __zroot_command >/dev/null' -l owners -d 'At level full, also keep owners and devices of --root\'s files in attributes of the files' -r -f -a 'xattr'
complete -c zroot -n 'not __zroot_command >/dev/null' -l if-needed -d 'Run COMMAND plainly if already root over more than one id'
complete -c zroot -n 'not __zroot_command >/dev/null' -l allow-new-privs -d 'Leave no_new_privs off'
complete -c zroot -n 'not __zroot_command >/dev/null' -l no-sync -d 'Pretend to write to disk: the same as --fake=sync'
complete -c zroot -n 'not __zroot_command >/dev/null' -l no-apt-config -d 'Do not set APT_CONFIG'
complete -c zroot -n 'not __zroot_command >/dev/null' -s i -l load -d 'Remember from the start what FILE says of owners and devices, as zroot or fakeroot saved it; at level full, which need not be asked for' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -s s -l save -d 'At the end, save what is remembered to FILE, in fakeroot\'s format; at level full, which need not be asked for' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l check -d 'Say what this host lets zroot do, and what to change; run no COMMAND' -f -a 'text json'
complete -c zroot -n 'not __zroot_command >/dev/null' -l error-fd -d 'Say what keeps COMMAND from beginning on descriptor FD in place of standard error, and close FD when COMMAND begins' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -s q -l quiet -d 'Say no warnings'
complete -c zroot -n 'not __zroot_command >/dev/null' -s v -l verbose -d 'Say each step on standard error'
complete -c zroot -n 'not __zroot_command >/dev/null' -l fake -d 'Also pretend the calls of these classes, or \'all\'' -r -f -a '(__fish_append , owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l no-fake -d 'Do not pretend the calls of these classes, or \'all\' but the probe; beats --fake' -r -f -a '(__fish_append , owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l fail-on -d 'End with status 124 if a call of these classes was pretended, or of \'all\'; zroot waits for COMMAND then' -r -f -a '(__fish_append , owner identity capability device probe getid sync xattr foreign inode-flags host limits mount stat maker peer set-id all)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l dump-filter -d 'Print the filter, as asm, raw, c or oci, and run nothing' -f -a 'asm raw c oci'
complete -c zroot -n 'not __zroot_command >/dev/null' -l arch -d 'For --dump-filter and --explain: on a kernel of ABI, or \'all\'' -r -f -a 'x86_64 x32 i386 aarch64 arm ppc64le s390x s390 riscv64 riscv32 loongarch64 mips64el mipsn32el mipsel all'
complete -c zroot -n 'not __zroot_command >/dev/null' -l explain -d 'Say what the call CALL is answered with the arguments that follow, and run nothing' -r -f -a 'chown fchown lchown fchownat chown32 fchown32 lchown32 semctl msgctl shmctl setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32 setgroups32 capget capset prctl mknod mknodat landlock_restrict_self kexec_load getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getresuid getresgid getgroups getresuid32 getresgid32 getgroups32 sync syncfs fsync fdatasync msync sync_file_range sync_file_range2 setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat utimensat_time64 ioctl file_setattr sethostname setdomainname settimeofday clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64 stime nice setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set setrlimit getrlimit ugetrlimit prlimit64 mlock mlock2 mlockall mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr chroot pivot_root setns unshare open creat openat openat2 mkdir mkdirat symlink symlinkat unlink unlinkat rmdir rename renameat renameat2 execve execveat io_uring_setup oldstat oldfstat oldlstat stat fstat lstat newfstatat stat64 fstat64 lstat64 fstatat64 statx getsockopt connect listen socketpair bind socketcall'
complete -c zroot -n 'not __zroot_command >/dev/null' -s C -l chdir -d 'Change to DIR first' -r -f -a '(__fish_complete_directories)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l root -d 'Make DIR the root directory, with the host\'s /proc, /sys and /dev' -r -f -a '(__fish_complete_directories)'
complete -c zroot -n 'not __zroot_command >/dev/null' -l bind -d 'Mount the host\'s SRC at DST inside the root directory' -r -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l summary -d 'At the end, say on standard error (or write to FILE) what was pretended; as JSON if FILE ends in .json' -F
complete -c zroot -n 'not __zroot_command >/dev/null' -l trace -d 'A line for each pretended call, on standard error or in FILE; as JSON if FILE ends in .json' -F
complete -c zroot -n 'not __zroot_command >/dev/null' -s S -l split-string -d 'Split STRING into arguments, as env(1) does; only as the first argument, for #! lines' -r -f
complete -c zroot -n 'not __zroot_command >/dev/null' -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zroot -n 'not __zroot_command >/dev/null' -s V -l version -d 'Print version'
