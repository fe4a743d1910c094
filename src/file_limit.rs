//! The limit on the size of files (`ulimit -f`), which holds for files in memory as well. Whoever
//! writes beyond the soft one gets SIGXFSZ (mm/filemap.c, `generic_write_check_limits`).

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Has `write` make a file of `size` bytes under a soft limit that allows it.
///
/// # Errors
/// `EFBIG` if the hard limit does not; getrlimit(2)'s.
#[inline]
pub fn with_room<T>(size: usize, write: impl FnOnce() -> T) -> Result<T, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if soft >= size as rlim_t {
        return Ok(write());
    }
    raise(size as rlim_t, hard)?;
    let written = write();
    // It was this, so it may be this again.
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard)?;
    Ok(written)
}

/// Lets files become `size` bytes large.
#[inline(never)]
fn raise(size: rlim_t, hard: rlim_t) -> Result<(), Errno> {
    // An enclosing zroot may have answered (class limits), so that it is looked at again.
    if size <= hard
        && setrlimit(Resource::RLIMIT_FSIZE, size, hard).is_ok()
        && getrlimit(Resource::RLIMIT_FSIZE)?.0 >= size
    {
        Ok(())
    } else {
        Err(Errno::EFBIG)
    }
}
