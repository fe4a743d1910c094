//! seccomp(2), the listener and the probes.
