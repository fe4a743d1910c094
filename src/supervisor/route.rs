//! Which handler answers which call.

use super::handlers::{
    Handler, device, identity, ipc, landlock, limit, maker, memory_lock, mode_and_time, mount,
    open, owner, peer, plain, priority, remove, roam, set_id, stat, xattr, xattr_read,
};
use super::handshake;
use super::session::Session;
use super::target::answer::{Answer, Outcome};
use super::target::request::Request;
use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::filter::policy::{Action, Class, Policy};

/// Which handler answers which call under one policy.
pub struct Routes {
    /// In the order of [`Sysno::ALL`].
    routes: Vec<Option<Route>>,
}

#[derive(Clone, Copy)]
struct Route {
    class: Class,
    handler: Handler,
}

impl Routes {
    /// Those of `policy`.
    #[must_use]
    pub fn new(policy: Policy) -> Routes {
        let mut routes = vec![None; Sysno::ALL.len()];
        // Who asks for ids is only looked at, where that class is not on. So is who sets limits.
        for rule in policy.rules().filter(|rule| rule.action == Action::Notify) {
            routes[rule.call as usize] = Some(match rule.call {
                Sysno::mount | Sysno::fsconfig => Route {
                    class: Class::Owner,
                    handler: mount::answer,
                },
                Sysno::unlink
                | Sysno::unlinkat
                | Sysno::rmdir
                | Sysno::rename
                | Sysno::renameat
                | Sysno::renameat2 => Route {
                    class: Class::Maker,
                    handler: remove::answer,
                },
                _ => Route {
                    class: Class::Getid,
                    handler: plain::allow,
                },
            });
        }
        for class in policy.classes.iter() {
            for rule in class.rules(policy.level) {
                let handler = handler(class, rule.call, rule.action);
                routes[rule.call as usize] = Some(Route { class, handler });
            }
        }
        Routes { routes }
    }

    /// Answers `request`, which may mean to do what it asks for. Who wants to know hears of it.
    pub fn answer(&self, session: &mut Session, request: &Request) -> Outcome {
        let Some(mut route) = self.routes[request.sysno as usize] else {
            return Outcome::CONTINUE;
        };
        if handshake::is_question(request) {
            route = Route {
                class: Class::Probe,
                handler: handshake::answer,
            };
        } else if limit::is_about_locks(request) {
            route = Route {
                class: Class::Identity,
                handler: limit::answer_locks,
            };
        } else if set_id::is_prctl(request) {
            route = Route {
                class: Class::SetId,
                handler: set_id::answer_prctl,
            };
        }
        let outcome = (route.handler)(session, request);
        if session.report.is_wanted() && outcome.answer != Answer::Helper {
            let (target, owners) = (session.sight.target(request), session.owners.as_ref());
            session.report.note(target, route.class, outcome, owners);
        }
        outcome
    }
}

/// What answers `call`, of `class`, for which the policy has `action`.
fn handler(class: Class, call: Sysno, action: Action) -> Handler {
    match (action, class) {
        (_, Class::Probe) => plain::probe,
        (Action::Allow, _) => plain::allow,
        (Action::Absent, _) => plain::absent,
        (Action::Notify, Class::Owner) => match call {
            Sysno::semctl | Sysno::msgctl | Sysno::shmctl => ipc::answer,
            _ => owner::answer,
        },
        (Action::Notify, Class::Device) => match call {
            Sysno::landlock_restrict_self => landlock::answer,
            _ => device::answer,
        },
        (Action::Notify, Class::Foreign) => {
            if call.signature().position(Kind::Mode).is_some() {
                mode_and_time::answer_mode
            } else {
                mode_and_time::answer_times
            }
        }
        (Action::Notify, Class::Xattr) => match call {
            Sysno::getxattr
            | Sysno::lgetxattr
            | Sysno::fgetxattr
            | Sysno::getxattrat
            | Sysno::listxattr
            | Sysno::llistxattr
            | Sysno::flistxattr
            | Sysno::listxattrat => xattr_read::answer,
            _ => xattr::answer,
        },
        (Action::Notify, Class::Maker) => match call {
            Sysno::mkdir | Sysno::mkdirat | Sysno::symlink | Sysno::symlinkat => maker::answer,
            _ => open::answer,
        },
        (Action::Notify, Class::Stat) => match call {
            Sysno::chroot | Sysno::pivot_root | Sysno::setns | Sysno::unshare => roam::answer,
            _ => stat::answer,
        },
        (Action::Notify, Class::Limits) => match call {
            Sysno::setrlimit | Sysno::prlimit64 => limit::answer,
            Sysno::mlock | Sysno::mlock2 | Sysno::mlockall => memory_lock::answer,
            _ => priority::answer,
        },
        (Action::Notify, Class::Peer) => peer::answer,
        (Action::Notify, Class::SetId) => set_id::answer,
        (Action::Notify, Class::Identity | Class::Capability | Class::Getid) => identity::answer,
        // The policy asks nobody about the last ones, at any level.
        (Action::FakeSuccess, _)
        | (Action::Notify, Class::Sync | Class::InodeFlags | Class::Host | Class::Mount) => {
            plain::pretend
        }
    }
}
