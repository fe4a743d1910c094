//! A notification: whatever its numbers are, it is a call of the matrix or none, and each way to
//! look at an argument has an answer.

use zroot::internals::arch::signature::Kind;
use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::supervisor::target::request::{Named, Request};
use zroot::internals::sys::seccomp::seccomp_notif;

use super::input::Input;

/// Every kind that an argument of the matrix has.
fn kinds() -> impl Iterator<Item = Kind> {
    let params = Sysno::ALL.iter().flat_map(|call| call.signature().params);
    params.map(|param| param.kind)
}

fn notification(input: &mut Input) -> seccomp_notif {
    let abi = input.pick(&Abi::ALL);
    let call = input.pick(Sysno::ALL);
    let nr = call.nr(abi).unwrap_or(0);
    let nr = match input.byte() % 8 {
        0 => nr ^ 1 << (input.byte() % 32),
        1 => input.word(),
        _ => nr,
    };
    let arch = match input.byte() % 16 {
        0 => abi.audit_arch() ^ 1 << (input.byte() % 32),
        1 => input.word(),
        _ => abi.audit_arch(),
    };
    seccomp_notif {
        id: input.number(),
        pid: (input.near(&[1, i32::MAX as u64]) & 0xffff_ffff) as u32,
        flags: input.word(),
        data: libc::seccomp_data {
            nr: i32::from_ne_bytes(nr.to_ne_bytes()),
            arch,
            instruction_pointer: input.number(),
            args: [(); 6]
                .map(|()| input.near(&[0, 0xffff, 0xffff_ffff, u64::MAX, 0xffff_ff9c, 1 << 31])),
        },
    }
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        let notification = notification(&mut input);
        let nr = u32::from_ne_bytes(notification.data.nr.to_ne_bytes());
        let known = Abi::ALL.iter().any(|abi| {
            abi.audit_arch() == notification.data.arch
                && Sysno::ALL.iter().any(|call| call.nr(*abi) == Some(nr))
        });
        let request = Request::decode(&notification);
        let is_thread = i32::try_from(notification.pid).is_ok();
        assert_eq!(request.is_some(), known && is_thread, "{nr:#x}");
        let Some(request) = request else { continue };
        assert_eq!(request.sysno.nr(request.abi), Some(nr));
        for kind in kinds() {
            assert_eq!(
                request.arg(kind).is_ok(),
                request.signature().position(kind).is_some()
            );
            for argument in request.all(kind) {
                let (word, long) = (argument.word(), argument.long());
                assert_eq!(argument.int().to_ne_bytes(), word.to_ne_bytes());
                assert_eq!(long & 0xffff_ffff, u64::from(word));
                assert!(request.abi.long_is_64bit() || long == u64::from(word));
                let mask = request.abi.pointer_mask();
                assert_eq!(argument.pointer() & !mask, 0);
                assert_eq!(argument.pointer() & 0xffff_ffff, u64::from(word) & mask);
            }
        }
        for (name, id) in request.ids() {
            assert!(!name.is_empty());
            assert!(!request.has_16bit_ids() || id < 0xffff || id == u32::MAX);
        }
        match request.named() {
            Some(Named::Open(_) | Named::At { .. }) => {}
            None => assert_eq!(request.owner(), None),
        }
    }
}
