//! The calls that no policy names, by name: what a name that is not in the matrix may still be.
//! `tests/it/table.rs` compares.

/// Every call of any ABI that is not in the matrix, as far as this zroot's Linux (6.17) has it,
/// sorted.
const OTHERS: &str = "\
    _llseek _newselect _sysctl accept accept4 access acct add_key afs_syscall alarm arch_prctl arm_fadvise64_64 arm_sync_file_range \
    bdflush bpf break brk cachectl cacheflush cachestat chdir clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 clone clone3 close close_range copy_file_range create_module delete_module dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 exit \
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_init fanotify_mark fchdir fcntl fcntl64 \
    file_getattr finit_module flock fork fstatat fstatfs fstatfs64 ftime ftruncate ftruncate64 futex futex_requeue \
    futex_time64 futex_wait futex_waitv futex_wake get_kernel_syms get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents \
    getdents64 getitimer getpeername getpgid getpgrp getpid getpmsg getppid getpriority getrandom getrusage getsid getsockname gettid \
    gettimeofday gtty idle init_module inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel \
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit io_uring_enter io_uring_register ioperm iopl \
    ioprio_get ipc kcmp kexec_file_load keyctl kill landlock_add_rule landlock_create_ruleset link linkat listmount \
    llseek lock lookup_dcookie lseek lsm_get_self_attr lsm_list_modules lsm_set_self_attr madvise \
    map_shadow_stack mbind membarrier memfd_create memfd_secret migrate_pages mincore mmap mmap2 modify_ldt move_pages mprotect mpx \
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal \
    msgget msgrcv msgsnd multiplexer munlock munlockall munmap name_to_handle_at nanosleep nfsservctl oldolduname olduname \
    open_by_handle_at pause pciconfig_iobase pciconfig_read pciconfig_write perf_event_open personality pidfd_getfd pidfd_open \
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 pread64 preadv preadv2 process_madvise \
    process_mrelease process_vm_readv process_vm_writev prof profil pselect6 pselect6_time64 ptrace putpmsg pwrite64 pwritev pwritev2 \
    query_module quotactl quotactl_fd read readahead readdir readlink readlinkat readv reboot recv recvfrom recvmmsg recvmmsg_time64 \
    recvmsg remap_file_pages request_key restart_syscall riscv_flush_icache riscv_hwprobe rseq \
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
    rt_tgsigqueueinfo rtas s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr s390_sthyi \
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_yield seccomp security select semget semop semtimedop \
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node set_robust_list \
    set_thread_area set_tid_address setitimer setpgid setsid setsockopt sgetmask shmat shmdt shmget shutdown sigaction sigaltstack \
    signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socket splice spu_create spu_run ssetmask statfs statfs64 \
    statmount stty subpage_prot swapcontext swapoff swapon switch_endian sys_debug_setcontext syscall sysfs sysinfo syslog sysmips tee \
    tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd \
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 tuxcall ulimit \
    umask uname uprobe uretprobe uselib userfaultfd ustat vfork vhangup vm86 vm86old vmsplice vserver wait4 waitid \
    waitpid write writev";

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    OTHERS.split(' ')
}
