//! Memory that forked processes share.

#![allow(unsafe_code)] // mmap(2), madvise(2), and the trait that says what may live there

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

/// What may be shared between processes.
///
/// # Safety
/// All zeroes are a value, and every part that can change is atomic: nobody keeps two processes
/// from looking at it at once.
pub unsafe trait Shareable {}

// SAFETY: zero is a value of each, and each is atomic.
unsafe impl Shareable for AtomicBool {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU32 {}
// SAFETY: as above.
unsafe impl Shareable for AtomicU64 {}
// SAFETY: an array has nothing but its elements.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}

/// Defines a struct that is [`Shareable`] because each of its fields is.
macro_rules! shareable {
    (
        $(#[$about:meta])*
        struct $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)+ }
    ) => {
        $(#[$about])*
        struct $name { $($(#[$field_about])* $field: $kind,)+ }

        // SAFETY: the bounds say it of each field, and a struct has nothing but its fields.
        #[allow(unsafe_code)]
        unsafe impl $crate::sys::memory::Shareable for $name
        where
            $($kind: $crate::sys::memory::Shareable,)+
        {
        }
    };
}
pub(crate) use shareable;

/// A value in memory that the processes forked from now on share. It is never given back: a process
/// makes few of them, and its end does that.
#[derive(Debug)]
pub struct Shared<T>(NonNull<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T: Shareable> Shared<T> {
    /// All zeroes.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn zeroed() -> Result<Shared<T>, Errno> {
        let len = NonZeroUsize::new(size_of::<T>()).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, which nothing else refers to.
        let memory = unsafe { mmap_anonymous(None, len, access, MapFlags::MAP_SHARED)? };
        Ok(Shared(memory.cast()))
    }
}

impl<T: Shareable, const N: usize> Shared<[T; N]> {
    /// Each element by itself.
    pub fn each(self) -> impl Iterator<Item = Shared<T>> {
        // SAFETY: the mapping holds N of them side by side, and is never unmapped.
        (0..N).map(move |i| Shared(unsafe { self.0.cast::<T>().add(i) }))
    }
}

impl<T: Shareable> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping is never unmapped, begins at a page, so that any T is aligned, and
        // holds a T: zeroes are one, and after that only T's own methods have changed it.
        unsafe { self.0.as_ref() }
    }
}

/// As many values as there may ever be, in memory that the processes forked from now on share. Only
/// those that have been touched take any. It is never given back.
#[derive(Debug)]
pub struct Region<T> {
    start: NonNull<T>,
    len: usize,
}

impl<T> Clone for Region<T> {
    fn clone(&self) -> Region<T> {
        *self
    }
}

impl<T> Copy for Region<T> {}

impl<T: Shareable> Region<T> {
    /// How much [`Region::populate`] asks for at once: a multiple of the largest page size.
    const STRETCH: usize = 64 << 10;

    /// `len` of them, each all zeroes.
    ///
    /// # Errors
    /// mmap(2)'s: `ENOMEM`, too, where the limit on a process's addresses or the host's rules on
    /// overcommitment do not allow so many.
    pub fn reserve(len: usize) -> Result<Region<T>, Errno> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Errno::ENOMEM)?;
        isize::try_from(bytes).map_err(|_| Errno::ENOMEM)?; // as much as a slice may have
        let bytes = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping, which nothing else refers to.
        let memory = unsafe { mmap_anonymous(None, bytes, access, flags)? };
        Ok(Region {
            start: memory.cast(),
            len,
        })
    }

    /// Has memory given to the value numbered `at` and to its neighbours, so that want of it is an
    /// error and not a signal. Returns the number of the first behind them. Where the kernel cannot
    /// (before 5.14), or may not, nothing is done.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn populate(&self, at: usize) -> Result<usize, Errno> {
        let size = size_of::<T>();
        let first = at.checked_mul(size).ok_or(Errno::ENOMEM)?;
        let start = first / Self::STRETCH * Self::STRETCH;
        let end = first.saturating_add(size).next_multiple_of(Self::STRETCH);
        let end = end.min(self.len * size);
        let len = end.checked_sub(start).ok_or(Errno::ENOMEM)?;
        // SAFETY: `start` is not behind `end`, which is not behind the end of the mapping.
        let from = unsafe { self.start.cast::<u8>().add(start) }.cast();
        // SAFETY: the pages are ours and stay what they are.
        match unsafe { madvise(from, len, MmapAdvise::MADV_POPULATE_WRITE) } {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => Ok(end / size),
            Err(_) => Err(Errno::ENOMEM),
        }
    }
}

impl<T: Shareable> Deref for Region<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping is never unmapped, begins at a page, so that any T is aligned, and
        // has room for `len`, no more than a slice may have: zeroes are a T each, and after that
        // only T's own methods have changed them.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}
