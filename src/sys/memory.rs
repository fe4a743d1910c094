//! Memory that forked processes share.

#![allow(unsafe_code)] // mmap(2), and the trait that says what may live there

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

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
