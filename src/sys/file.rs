//! System calls on files.
