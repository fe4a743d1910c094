//! System calls about mounts.
