//! Memory that forked processes share.
