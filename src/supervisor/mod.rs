//! The supervisor: what it answers, over `SECCOMP_RET_USER_NOTIF`, when a blind success is not enough.

pub mod credentials;
