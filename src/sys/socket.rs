//! Descriptors that come over a socket.
