//! Processes, signals and limits.
