//! How a zroot learns of another one around it, and of its own supervisor: by calls that no kernel
//! grants and no program makes, whose arguments are questions.
//!
//! The answers are small positive numbers, so that they fit a 32-bit kernel's `long` and are never
//! taken for an error: 24 bits of contents behind a mark that level zero's 0 lacks.

use nix::errno::Errno;

use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::filter::policy::{ClassSet, Level, Policy};
use crate::host;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Outcome};
use crate::supervisor::target::request::Request;
use crate::sys::seccomp::{kexec_load, setgroups_without_list};

/// The version of questions and answers. A zroot does not take a supervisor for its own that
/// speaks another.
const VERSION: u32 = 1;

/// The mark of an answer.
const MARK: u32 = 0x5a << 24;
const CONTENTS: u32 = (1 << 24) - 1;

/// What is asked: the first argument of the call, from "zroo" on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    /// The version (upper 8 bits of 16) and the level's number.
    Level = 0x7a72_6f6f,
    /// The lower 16 of the answered classes' bits.
    LowClasses,
    /// The upper 16.
    HighClasses,
}

impl Question {
    const ALL: [Question; 3] = [Question::Level, Question::LowClasses, Question::HighClasses];
}

/// What is above this process already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enclosing {
    /// A filter that pretends by itself, a zroot's at level zero for one, or a supervisor that
    /// speaks another version. What it pretends no filter below is asked about.
    Filter,
    /// A zroot's supervisor, which answers as this says.
    Supervisor(Policy),
    /// A tracer that rewrites the paths of calls, as PRoot does: a supervisor would be told of
    /// paths as the kernel is to see them, or as it is not, and its own would be rewritten.
    Tracer,
}

/// Asks what is above this process, if anything.
#[must_use]
pub fn ask() -> Option<Enclosing> {
    let tracer = || host::is_started_by_tracer().then_some(Enclosing::Tracer);
    // The kernel answers with an error.
    let Ok(level) = put(Question::Level) else {
        return tracer();
    };
    let classes = || {
        Some((
            put(Question::LowClasses).ok()?,
            put(Question::HighClasses).ok()?,
        ))
    };
    let policy = contents(level).and_then(|level| {
        let (low, high) = classes()?;
        decode(level, contents(low)?, contents(high)?)
    });
    // PRoot pretends that setgroups succeeds.
    match policy {
        Some(policy) => Some(Enclosing::Supervisor(policy)),
        None => tracer().or(Some(Enclosing::Filter)),
    }
}

/// Asks whether the supervisor of this process's own filter answers, which is to do as `policy`
/// says. Whether its values arrive: not all kernels let any but 0 through.
///
/// # Errors
/// The kernel's, or another filter's, which answered instead.
pub fn prove(policy: Policy) -> Result<bool, Errno> {
    let expected = encode(Question::Level, policy);
    Ok(put(Question::Level)? == libc::c_long::from(expected))
}

/// Asks by `kexec_load`; and where the profile of a container runtime around us refuses that, whose
/// error comes before any notification (kernel/seccomp.c, `seccomp_run_filters`), by a call that
/// the profiles permit and the kernel still refuses.
fn put(question: Question) -> Result<libc::c_long, Errno> {
    let question = question as usize;
    kexec_load(question).or_else(|refused| setgroups_without_list(question).map_err(|_| refused))
}

/// What an answer says, if it is one.
fn contents(answer: libc::c_long) -> Option<u32> {
    let answer = u32::try_from(answer).ok()?;
    (answer & !CONTENTS == MARK).then_some(answer & CONTENTS)
}

fn decode(level: u32, low: u32, high: u32) -> Option<Policy> {
    if level >> 8 != VERSION {
        return None;
    }
    let level = *Level::ALL.get((level & 0xff) as usize)?;
    let classes = ClassSet::from_bits(low | high << 16);
    Some(Policy {
        level,
        classes,
        is_watched: false,
        is_saved: false,
    })
}

/// What `question` is answered with by a supervisor that answers as `policy` says.
fn encode(question: Question, policy: Policy) -> i32 {
    let classes = policy.classes.bits();
    let contents = match question {
        Question::Level => VERSION << 8 | policy.level as u32,
        Question::LowClasses => classes & 0xffff,
        Question::HighClasses => classes >> 16,
    };
    i32::try_from(MARK | contents).unwrap_or(0) // never above i32::MAX
}

/// The question that `request` is, if it is one.
fn question(request: &Request) -> Option<Question> {
    if !matches!(request.sysno, Sysno::kexec_load | Sysno::setgroups) {
        return None;
    }
    let first = request
        .arg(Kind::Number)
        .or(request.arg(Kind::Count))
        .ok()?
        .pointer();
    Question::ALL
        .into_iter()
        .find(|question| *question as u64 == first)
}

/// Whether `request` is how a zroot asks.
#[must_use]
pub fn is_question(request: &Request) -> bool {
    question(request).is_some()
}

/// Answers it.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    let answer = question(request).map_or(0, |question| encode(question, session.policy));
    Outcome::real(Answer::Value(answer.into()))
}

#[cfg(test)]
mod tests {
    use super::{Question, contents, decode, encode};
    use crate::filter::policy::{ClassSet, Level, Policy};

    /// Asks a supervisor that answers as `policy` says.
    fn ask(policy: Policy) -> Option<Policy> {
        let said = |question| contents(encode(question, policy).into());
        let [level, low, high] = Question::ALL.map(said);
        decode(level?, low?, high?)
    }

    #[test]
    fn what_is_said_is_understood() {
        for level in Level::ALL {
            for classes in [ClassSet::EMPTY, ClassSet::ALL, level.default_classes()] {
                let policy = Policy {
                    level,
                    classes,
                    is_watched: false,
                    is_saved: false,
                };
                assert_eq!(ask(policy), Some(policy));
            }
        }
    }

    #[test]
    fn another_version_is_not_understood() {
        let level = encode(Question::Level, Policy::SELECTIVE);
        let level = contents(level.into()).expect("an answer");
        assert_eq!(decode(level + (1 << 8), 0, 0), None);
        // As the first zroot said it, and as level zero and errors look.
        for answer in [(1 << 16) + 0x1ff + 1, 0, -38] {
            assert_eq!(contents(answer), None);
        }
    }
}
