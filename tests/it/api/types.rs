//! The types of all that other crates may use. If a line here fails to compile, or one of the golden
//! list goes or changes, that is a breaking change: it needs a new major version, or before 1.0 a new
//! minor one.

use std::ffi::OsString;
use std::fmt::{Debug, Display};
use std::fs::File;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::{env, fs};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use zroot::{Abi, Class, Command, Error, Filter, Level, VERSION, sock_filter};

#[test]
fn functions_have_these_types() {
    let _: &str = VERSION;
    let _: Abi = Abi::NATIVE;
    let _: fn(Abi) -> &'static str = Abi::name;
    let _: fn(Level) -> &'static str = Level::name;
    let _: fn(Class) -> &'static str = Class::name;

    let _: fn(Level) -> Filter = Filter::new;
    let _: fn(Filter, Class) -> Filter = Filter::with;
    let _: fn(Filter, Class) -> Filter = Filter::without;
    let _: fn(&Filter, Abi) -> Result<Vec<sock_filter>, Error> = Filter::build;

    let _: fn(OsString) -> Command = Command::new;
    let _: fn(&'static str) -> Command = Command::new;
    let _: fn(Command, &'static str) -> Command = Command::arg;
    let _: fn(Command, &'static [OsString]) -> Command = Command::args;
    let _: fn(Command, Vec<String>) -> Command = Command::args;
    let _: fn(Command, PathBuf) -> Command = Command::root;
    let _: fn(Command, &'static str, &'static Path) -> Command = Command::bind;
    let _: fn(Command, &'static str, &'static Path) -> Command = Command::bind_read_only;
    let _: fn(Command, &'static str) -> Command = Command::current_dir;
    let _: fn(Command, Level) -> Command = Command::level;
    let _: fn(Command) -> Command = Command::auto;
    let _: fn(Command, Class) -> Command = Command::with;
    let _: fn(Command, Class) -> Command = Command::without;
    let _: fn(Command) -> Command = Command::no_user_namespace;
    let _: fn(Command, &'static str) -> Command = Command::load;
    let _: fn(Command, PathBuf) -> Command = Command::save;
    let _: fn(Command, &'static str, OsString) -> Command = Command::env;
    let _: fn(Command, &'static str) -> Command = Command::env_remove;
    let _: fn(Command) -> Command = Command::env_clear;
    let _: fn(Command, Stdio) -> Command = Command::stdin;
    let _: fn(Command, ChildStdout) -> Command = Command::stdin;
    let _: fn(Command, File) -> Command = Command::stdout;
    let _: fn(Command, Stdio) -> Command = Command::stderr;
    let _: fn(Command, &'static str) -> Command = Command::program;
    let _: fn(Command) -> Error = Command::exec;
    let _: fn(Command) -> Result<Child, Error> = Command::spawn;

    let _: fn(&Error) -> u8 = Error::status;
    let _: fn(&Error) -> &str = Error::message;
    let _: fn(&Error) -> Option<&str> = Error::hint;
}

#[test]
fn types_are_of_these_traits() {
    fn names<T: Copy + Ord + Hash + Debug + Display + Send + Sync + 'static>() {}
    fn filter<T: Clone + Eq + Debug + Send + Sync + 'static>() {}
    fn command<T: Debug + Send + Sync + 'static>() {}
    fn error<T: std::error::Error + Clone + Eq + Send + Sync + 'static>() {}
    names::<Level>();
    names::<Class>();
    names::<Abi>();
    filter::<Filter>();
    command::<Command>();
    error::<Error>();
}

#[test]
fn an_instruction_is_what_others_take() {
    let insn = sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    let _: (u16, u8, u8, u32) = (insn.code, insn.jt, insn.jf, insn.k);
    #[cfg(target_endian = "little")]
    let _: fn(&[sock_filter]) -> Result<(), seccompiler::Error> = seccompiler::apply_filter;
    #[cfg(target_endian = "big")]
    let _: libc::sock_filter = insn;
}

// The golden list. It also shows what is new.

/// Where what is public has its definition, and which types of such a file are: of others all.
const PLACES: [(&str, &[&str]); 6] = [
    ("src/lib.rs", &[]),
    ("src/api/command.rs", &[]),
    ("src/api/error.rs", &[]),
    ("src/api/filter.rs", &[]),
    ("src/arch/abi.rs", &["Abi"]),
    ("src/filter/policy.rs", &["Level", "Class"]),
];

/// One item of a file or block: what `#[...]` says before it, and its tokens.
struct Item {
    attributes: Vec<String>,
    tokens: Vec<TokenTree>,
}

/// `stream` without the spaces that are between any two tokens.
fn text(stream: impl IntoIterator<Item = TokenTree>) -> String {
    let text = stream.into_iter().collect::<TokenStream>().to_string();
    [
        (" :: ", "::"),
        (" :", ":"),
        (" ,", ","),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ;", ";"),
        (",)", ")"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
    .replace("->", " ->")
    .replace("  ->", " ->")
}

fn items(stream: TokenStream) -> Vec<Item> {
    let mut items = vec![];
    let (mut attributes, mut tokens) = (vec![], vec![]);
    let mut ahead = stream.into_iter().peekable();
    while let Some(token) = ahead.next() {
        let is = |sign: char| matches!(&token, TokenTree::Punct(punct) if punct.as_char() == sign);
        if tokens.is_empty() && is('#') {
            let is_group = |next: &TokenTree| matches!(next, TokenTree::Group(_));
            attributes.extend(ahead.next_if(is_group).map(|group| group.to_string()));
            continue;
        }
        let is_block =
            matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        let is_use = text(tokens.iter().take(2).cloned()) == "pub use";
        let is_end = is(';') || is_block && !is_use;
        tokens.push(token);
        if is_end {
            let (attributes, tokens) =
                (std::mem::take(&mut attributes), std::mem::take(&mut tokens));
            items.push(Item { attributes, tokens });
        }
    }
    items
}

impl Item {
    fn is_hidden(&self) -> bool {
        let hides = |attribute: &String| {
            let attribute = attribute.replace(' ', "");
            attribute == "[doc(hidden)]" || attribute == "[cfg(test)]"
        };
        self.attributes.iter().any(hides)
    }

    /// What stands before the block or the value.
    fn head(&self) -> String {
        let is_end = |token: &&TokenTree| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => matches!(punct.as_char(), ';' | '='),
            _ => false,
        };
        let is_use = text(self.tokens.iter().take(2).cloned()) == "pub use";
        let head = self
            .tokens
            .iter()
            .take_while(|token| is_use || !is_end(token));
        text(head.cloned())
    }

    fn block(&self) -> TokenStream {
        match self.tokens.last() {
            Some(TokenTree::Group(group)) => group.stream(),
            _ => TokenStream::new(),
        }
    }

    /// Lines for what of it is public.
    fn lines(&self) -> Vec<String> {
        let head = self.head();
        let mut lines = Vec::new();
        if head.starts_with("impl") {
            if head.contains(" for ") {
                lines.push(head);
            } else {
                for item in items(self.block()) {
                    let own = item.lines().into_iter();
                    lines.extend(own.map(|line| format!("{head}: {line}")));
                }
            }
        } else if head.starts_with("pub ") && !self.is_hidden() {
            let says = |attribute: &&String| {
                ["[derive", "[non_exhaustive", "[must_use"]
                    .iter()
                    .any(|word| attribute.starts_with(word))
            };
            let says = self.attributes.iter().filter(says);
            let says: String = says.flat_map(|attribute| ["#", attribute, " "]).collect();
            lines.push(format!("{says}{head}"));
            if head.starts_with("pub enum") {
                let mut is_attribute = false; // what follows
                for token in self.block() {
                    if let TokenTree::Ident(name) = &token {
                        lines.push(format!("{head}: {name}"));
                    }
                    let is_group = matches!(token, TokenTree::Group(_));
                    assert!(is_attribute || !is_group, "{head}: a variant has fields");
                    is_attribute = token.to_string() == "#";
                }
            }
        }
        if self.is_hidden() { Vec::new() } else { lines }
    }

    /// The type that it is, or is of.
    fn name(&self) -> String {
        let head = self.head();
        head.rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

#[test]
fn what_is_public_is_on_the_list() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut list = String::new();
    for (file, types) in PLACES {
        let source = fs::read_to_string(top.join(file)).expect("a file of src");
        for item in items(source.parse().expect("Rust's tokens")) {
            if types.is_empty() || types.contains(&&*item.name()) {
                for line in item.lines() {
                    list.push_str(&line);
                    list.push('\n');
                }
            }
        }
    }
    let path = top.join("tests/golden/api.txt");
    if env::var_os("ZROOT_BLESS").is_some() {
        fs::write(&path, &list).expect("a golden file");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let changed = |from: &str, to: &str, sign: &str| -> String {
        let lines = from
            .lines()
            .filter(|line| !to.lines().any(|other| other == *line));
        lines.flat_map(|line| [sign, line, "\n"]).collect()
    };
    assert!(
        list == golden,
        "\n{}{}if that is as it should be: ZROOT_BLESS=1 cargo test --release --test it api::",
        changed(&golden, &list, "- "),
        changed(&list, &golden, "+ "),
    );
}
