//! docs/modules.md, the table of modules, against the source: each file has a row, uses no module that
//! its row does not allow, and is part of no circle.
//!
//! The grammar of a row: `src/...` files or folders in backticks; what they know; then either
//! "nothing", "all", "all of `a`" or the modules that may be used, in backticks, with commas
//! between. `` `filter` `` is src/filter/mod.rs alone. `ZROOT_BLESS=1` writes the rows as the source
//! would have them.
//!
//! A dependency is a path, wherever it stands: in a `use`, in code, in what a macro is called with.
//! The last is why tokens are read: a syntax tree would not have it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's path without `crate`: `["filter", "policy"]`. Empty for the crate's root.
type Module = Vec<String>;

/// The text of each file below src/, by name.
fn source() -> BTreeMap<String, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut ahead) = (BTreeMap::new(), vec![top.join("src")]);
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of src");
            ahead.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(top).expect("below the top");
            let text = fs::read_to_string(&path).expect("a file of src");
            files.insert(name.to_str().expect("UTF-8").to_owned(), text);
        }
    }
    files
}

/// `src/filter/policy.rs` is `filter::policy`, `src/filter/mod.rs` is `filter`. The two roots are
/// `lib` and `main`.
fn module_of(file: &str) -> String {
    let name = file.trim_start_matches("src/").trim_end_matches(".rs");
    name.trim_end_matches("/mod").replace('/', "::")
}

// What a file says.

/// A path that stands in a file.
struct Found {
    /// The module in which it stands.
    at: Module,
    path: Module,
    how: How,
}

#[derive(PartialEq)]
enum How {
    /// In code, or in a macro's tokens.
    Inline,
    /// In a `use` that gives it this name. With `is_public` others can use it from here.
    Use { name: String, is_public: bool },
    /// In a `use` of all that is in it.
    Glob,
}

fn tokens(text: &str) -> Vec<TokenTree> {
    let stream: TokenStream = text.parse().expect("Rust's tokens");
    stream.into_iter().collect()
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// Whether `::` stands at `i`.
fn is_separator(tokens: &[TokenTree], i: usize) -> bool {
    is_punct(tokens.get(i), ':') && is_punct(tokens.get(i + 1), ':')
}

/// Whether this is the `[cfg(test)]` of an attribute.
fn is_for_tests(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group))
        if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// The identifiers from `i` on that have `::` between them, and where they end.
fn path_at(tokens: &[TokenTree], mut i: usize) -> (Module, usize) {
    let mut path = Module::new();
    while let Some(name) = ident(tokens.get(i)) {
        path.push(name);
        i += 1;
        if !is_separator(tokens, i) || ident(tokens.get(i + 2)).is_none() {
            break;
        }
        i += 2;
    }
    (path, i)
}

/// Collects the paths of a file's tokens, which stand in the module `at`.
fn scan(tokens: &[TokenTree], at: &Module, found: &mut Vec<Found>) {
    let (mut i, mut is_public) = (0, false);
    while i < tokens.len() {
        let was_public = std::mem::take(&mut is_public);
        match &tokens[i] {
            TokenTree::Group(group) => {
                scan(&group.stream().into_iter().collect::<Vec<_>>(), at, found);
            }
            TokenTree::Ident(word) if word == "pub" => {
                is_public = true;
                // `pub(in crate::a)` uses nothing.
                if let Some(TokenTree::Group(group)) = tokens.get(i + 1) {
                    let first = ident(group.stream().into_iter().next().as_ref());
                    let words = ["crate", "super", "self", "in"];
                    i += usize::from(first.is_some_and(|first| words.contains(&&*first)));
                }
            }
            // The other `use<'a>` is a bound of types.
            TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(i + 1), '<') => {
                let rest = &tokens[i + 1..];
                let end = rest.iter().position(|token| is_punct(Some(token), ';'));
                let end = end.unwrap_or(rest.len());
                scan_use(&rest[..end], at, &Module::new(), was_public, found);
                i += end;
            }
            TokenTree::Ident(word) if word == "mod" => {
                if let (Some(name), Some(TokenTree::Group(group))) =
                    (ident(tokens.get(i + 1)), tokens.get(i + 2))
                {
                    // Tests may use what they like.
                    if !is_for_tests(tokens[..i].last()) {
                        let inside: Vec<_> = group.stream().into_iter().collect();
                        scan(&inside, &[at.clone(), vec![name]].concat(), found);
                    }
                    i += 2;
                }
            }
            TokenTree::Ident(_) => {
                // Behind `.`, but not behind `..`, is a method; behind `::` is the rest of a path that
                // begins with a type or with another crate's name.
                let is_behind = |sign| i > 0 && is_punct(tokens.get(i - 1), sign);
                let is_twice = |sign| i > 1 && is_punct(tokens.get(i - 2), sign);
                let goes_on = is_behind('.') && !is_twice('.') || is_behind(':') && is_twice(':');
                let (path, end) = path_at(tokens, i);
                i = end - 1;
                if !goes_on && path.len() > 1 {
                    let (at, how) = (at.clone(), How::Inline);
                    found.push(Found { at, path, how });
                }
            }
            _ => {}
        }
        i += 1;
    }
}

/// Collects the paths of what stands between `use` and `;`, or in braces behind `prefix`.
fn scan_use(
    tokens: &[TokenTree],
    at: &Module,
    prefix: &Module,
    is_public: bool,
    found: &mut Vec<Found>,
) {
    for tree in tokens.split(|token| is_punct(Some(token), ',')) {
        if tree.is_empty() {
            continue; // behind the last comma
        }
        let (names, end) = path_at(tree, 0);
        let mut path = [prefix.clone(), names].concat();
        let behind = if is_separator(tree, end) {
            tree.get(end + 2)
        } else {
            tree.get(end)
        };
        let how = match behind {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inside: Vec<_> = group.stream().into_iter().collect();
                scan_use(&inside, at, &path, is_public, found);
                continue;
            }
            Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => How::Glob,
            _ => {
                // `{self}` is what stands in front of the braces.
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                let last = path.last().cloned();
                let alias = ident(tree.get(end)).filter(|word| word == "as");
                let name = alias.and_then(|_| ident(tree.get(end + 1))).or(last);
                let Some(name) = name else { continue };
                How::Use { name, is_public }
            }
        };
        let at = at.clone();
        found.push(Found { at, path, how });
    }
}

// Which modules that means.

/// What one file depends on: the modules, and whether it only hands their items on to others.
type Dependencies = BTreeMap<String, Edge>;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Edge {
    /// A parent makes items of a module below it known to others, and does not use them.
    ReExport,
    Use,
}

struct Resolver<'a> {
    modules: &'a BTreeSet<String>,
    /// The file's own module.
    own: String,
    /// Names that the file has given to modules.
    names: BTreeMap<String, Module>,
}

impl Resolver<'_> {
    /// The path from the crate's root on, or `None` if it leads out of the crate, or to something
    /// of the file's own.
    fn absolute(&self, at: &Module, path: &Module) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut absolute = match first.as_str() {
            // That of main.rs has nothing that others use.
            "crate" => Module::new(),
            "zroot" if self.own == "main" => Module::new(),
            "self" => at.clone(),
            "super" => at[..at.len().checked_sub(1)?].to_vec(),
            name if self.names.contains_key(name) => self.names[name].clone(),
            name => {
                let child = [at.clone(), vec![name.to_owned()]].concat();
                if !self.modules.contains(&child.join("::")) && name != "internals" {
                    return None;
                }
                child
            }
        };
        for name in rest {
            if name == "super" {
                absolute.pop()?;
            } else {
                absolute.push(name.clone());
            }
        }
        // lib.rs declares the modules in there, and their files lie beside it.
        if absolute.first().is_some_and(|first| first == "internals") {
            absolute.remove(0);
        }
        Some(absolute)
    }

    /// The module that has what `absolute` names, as long a part of it as is one.
    fn module(&self, absolute: &Module) -> String {
        let part = (1..=absolute.len()).rev().find_map(|length| {
            let name = absolute[..length].join("::");
            self.modules.contains(&name).then_some(name)
        });
        part.unwrap_or_else(|| "lib".into())
    }

    fn is_below(&self, module: &str) -> bool {
        let is_root = self.own == "lib" && module != "main";
        is_root || module.starts_with(&format!("{}::", self.own))
    }
}

fn dependencies(file: &str, text: &str, modules: &BTreeSet<String>) -> Dependencies {
    let own = module_of(file);
    let at = match own.as_str() {
        "lib" | "main" => Module::new(),
        own => own.split("::").map(str::to_owned).collect(),
    };
    let mut found = Vec::new();
    scan(&tokens(text), &at, &mut found);
    let names = BTreeMap::new();
    let mut resolver = Resolver {
        modules,
        own,
        names,
    };
    // `use a::b; ... b::C` uses what C is in, and a::b only if nothing else is done with it.
    for Found { at, path, how } in &found {
        if let How::Use { name, .. } = how
            && let Some(absolute) = resolver.absolute(at, path)
            && modules.contains(&absolute.join("::"))
        {
            resolver.names.insert(name.clone(), absolute);
        }
    }
    let firsts: BTreeSet<&String> = found
        .iter()
        .filter(|found| found.how == How::Inline)
        .map(|found| &found.path[0])
        .collect();
    let mut all = Dependencies::new();
    for Found { at, path, how } in &found {
        // A name of its own does not count as the beginning of its own path.
        let Some(absolute) = resolver.absolute(at, path) else {
            continue;
        };
        let module = resolver.module(&absolute);
        let edge = match how {
            How::Use { name, is_public } => {
                let names_module = resolver.names.get(name) == Some(&absolute);
                let is_used = firsts.contains(name);
                if names_module && is_used && !is_public {
                    continue;
                }
                if (*is_public || names_module) && resolver.is_below(&module) {
                    Edge::ReExport
                } else {
                    Edge::Use
                }
            }
            How::Inline | How::Glob => Edge::Use,
        };
        if module != resolver.own {
            let known = all.entry(module).or_insert(edge);
            if edge == Edge::Use {
                *known = edge;
            }
        }
    }
    all
}

/// The dependencies of every module.
fn graph(source: &BTreeMap<String, String>) -> BTreeMap<String, Dependencies> {
    let modules: BTreeSet<String> = source.keys().map(|file| module_of(file)).collect();
    source
        .iter()
        .map(|(file, text)| (module_of(file), dependencies(file, text, &modules)))
        .collect()
}

/// Those from which there is a way back to themselves, as lines "a uses b" of such ways.
fn circles(graph: &BTreeMap<String, Dependencies>) -> Vec<String> {
    let next = |module: &str| {
        let uses = graph.get(module).into_iter().flatten();
        uses.filter(|(_, edge)| **edge == Edge::Use)
            .map(|(to, _)| to.as_str())
            .collect::<Vec<_>>()
    };
    let leads_to = |from: &str, to: &str| {
        let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
        while let Some(module) = ahead.pop() {
            if module == to {
                return true;
            }
            if seen.insert(module) {
                ahead.extend(next(module));
            }
        }
        false
    };
    let mut lines = Vec::new();
    for from in graph.keys() {
        for to in next(from) {
            if leads_to(to, from) {
                lines.push(format!("in a circle: {from} uses {to}"));
            }
        }
    }
    lines
}

// The table.

/// A row of the table.
#[derive(Debug)]
struct Row {
    files: BTreeSet<String>,
    where_: String,
    knows: String,
    may: May,
}

#[derive(PartialEq, Debug)]
enum May {
    /// Anything.
    All,
    /// These modules, and all that is below those.
    Use(BTreeSet<String>, BTreeSet<String>),
}

impl May {
    fn parse(cell: &str) -> Result<May, String> {
        let (mut modules, mut wholes) = (BTreeSet::new(), BTreeSet::new());
        match cell {
            "all" => return Ok(May::All),
            "nothing" => return Ok(May::Use(modules, wholes)),
            _ => {}
        }
        for part in cell.split(", ") {
            let (name, into) = match part.strip_prefix("all of ") {
                Some(name) => (name, &mut wholes),
                None => (part, &mut modules),
            };
            let name = name
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
                .filter(|name| !name.contains('`'))
                .ok_or_else(|| format!("'{part}' is no module"))?;
            into.insert(name.to_owned());
        }
        Ok(May::Use(modules, wholes))
    }

    fn allows(&self, module: &str) -> bool {
        match self {
            May::All => true,
            May::Use(modules, wholes) => {
                modules.contains(module)
                    || wholes
                        .iter()
                        .any(|whole| module == whole || module.starts_with(&format!("{whole}::")))
            }
        }
    }
}

/// The rows about files of src/, and what is wrong with them.
fn table(text: &str, source: &BTreeMap<String, String>) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let lines = text
        .lines()
        .skip_while(|line| *line != "| where | what it knows | may depend on |");
    for line in lines.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [where_, knows, may] = cells[..] else {
            wrong.push(format!("a row has not three columns: {line}"));
            continue;
        };
        let mut files = BTreeSet::new();
        for name in where_.split('`').filter(|name| name.starts_with("src/")) {
            let named = source
                .keys()
                .filter(|file| *file == name || name.ends_with('/') && file.starts_with(name));
            let before = files.len();
            files.extend(named.cloned());
            if files.len() == before {
                wrong.push(format!("there is no {name}"));
            }
        }
        if files.is_empty() {
            continue; // of the linker's script, say
        }
        match May::parse(may) {
            Ok(may) => rows.push(Row {
                files,
                where_: where_.to_owned(),
                knows: knows.to_owned(),
                may,
            }),
            Err(reason) => wrong.push(format!("the row of {where_}: {reason}")),
        }
    }
    (rows, wrong)
}

/// Everything in which the table `text` and the source disagree.
fn disagreements(text: &str, source: &BTreeMap<String, String>) -> Vec<String> {
    let (rows, mut wrong) = table(text, source);
    let graph = graph(source);
    for file in source.keys() {
        match rows.iter().filter(|row| row.files.contains(file)).count() {
            1 => {}
            0 => wrong.push(format!("{file} has no row")),
            count => wrong.push(format!("{file} has {count} rows")),
        }
    }
    for row in &rows {
        let mut used = BTreeSet::new();
        for file in &row.files {
            for module in graph[&module_of(file)].keys() {
                used.insert(module.clone());
                if !row.may.allows(module) {
                    wrong.push(format!(
                        "{file} uses {module}, which its row does not allow"
                    ));
                }
            }
        }
        if let May::Use(modules, wholes) = &row.may {
            let stale = modules.iter().filter(|module| !used.contains(*module));
            let is_used = |whole: &&String| {
                let one = May::Use(BTreeSet::new(), [(*whole).clone()].into());
                used.iter().any(|module| one.allows(module))
            };
            for module in stale.chain(wholes.iter().filter(|whole| !is_used(whole))) {
                let where_ = &row.where_;
                wrong.push(format!("{where_} may use {module}, and does not"));
            }
        }
    }
    wrong
}

/// The rows as the source would have them: the table's own, and one for each file that has none.
fn rows_of_the_source(text: &str, source: &BTreeMap<String, String>) -> String {
    let (mut rows, _) = table(text, source);
    let graph = graph(source);
    let rowless: Vec<&String> = source
        .keys()
        .filter(|file| !rows.iter().any(|row| row.files.contains(*file)))
        .collect();
    rows.extend(rowless.into_iter().map(|file| Row {
        files: [file.clone()].into(),
        where_: format!("`{file}`"),
        knows: "...".into(),
        may: May::Use(BTreeSet::new(), BTreeSet::new()),
    }));
    let mut out = String::new();
    for row in &rows {
        let uses = row.files.iter().map(|file| &graph[&module_of(file)]);
        let modules: BTreeSet<&String> = uses.flat_map(BTreeMap::keys).collect();
        let modules: Vec<String> = modules.iter().map(|module| format!("`{module}`")).collect();
        let uses = match row.may {
            May::All => "all".to_owned(),
            _ if modules.is_empty() => "nothing".to_owned(),
            May::Use(..) => modules.join(", "),
        };
        let _ = writeln!(out, "| {} | {} | {uses} |", row.where_, row.knows);
    }
    out
}

fn modules() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/modules.md");
    let text = fs::read_to_string(&path).expect("docs/modules.md");
    (path, text)
}

#[test]
fn modules_depend_on_what_the_table_allows() {
    let ((path, mut text), source) = (modules(), source());
    if env::var_os("ZROOT_BLESS").is_some() {
        let head = text.find("\n|---|").expect("a table");
        let head = text[head + 1..].find('\n').expect("a line") + head + 2;
        let rows = rows_of_the_source(&text, &source);
        text.replace_range(head.., &rows);
        fs::write(path, &text).expect("docs/modules.md");
    }
    let wrong = disagreements(&text, &source);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_depend_on_each_other_in_no_circle() {
    let circles = circles(&graph(&source()));
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

// Other rules about the text.

/// What may say `unsafe`: the safe functions around system calls, argv, and the allocator.
const UNSAFE: [&str; 3] = ["src/sys/", "src/main.rs", "src/arena.rs"];

/// How often `unsafe` stands in the tokens, also in those of macros.
fn count_unsafe(tokens: &[TokenTree]) -> usize {
    let count = |token: &TokenTree| match token {
        TokenTree::Ident(word) => usize::from(word == "unsafe"),
        TokenTree::Group(group) => count_unsafe(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => 0,
    };
    tokens.iter().map(count).sum()
}

#[test]
fn unsafe_is_in_sys_only() {
    let mut wrong = String::new();
    for (file, text) in source() {
        let count = count_unsafe(&tokens(&text));
        if count > 0 && !UNSAFE.iter().any(|allowed| file.starts_with(allowed)) {
            let _ = writeln!(wrong, "{file} says unsafe {count} times");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Columns of a line.
const WIDTH: usize = 100;

/// The lines of all string literals.
fn strings(tokens: &[TokenTree], into: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.contains('"') {
                    into.extend(text.lines().map(|line| line.trim().to_owned()));
                }
            }
            TokenTree::Group(group) => {
                strings(&group.stream().into_iter().collect::<Vec<_>>(), into);
            }
            _ => {}
        }
    }
}

/// The numbers of lines that are too long. A string's part of a line does not count, since messages
/// are searched for and so not broken; nor do tables under `rustfmt::skip`, nor attributes, which
/// rustfmt does not break.
fn too_long(text: &str) -> Vec<usize> {
    let mut literals = BTreeSet::new();
    strings(&tokens(text), &mut literals);
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut skipped: Option<usize> = None;
    let mut numbers = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if let Some(depth) = skipped {
            if indentation(line) == depth && line.trim_start().starts_with(['}', ']', ')']) {
                skipped = None;
            }
            continue;
        }
        let trimmed = line.trim_start();
        if trimmed == "#[rustfmt::skip]" {
            skipped = Some(indentation(line));
        }
        let width = line.chars().count();
        let is_attribute = trimmed.starts_with("#[") && trimmed.ends_with(']');
        if width <= WIDTH || is_attribute {
            continue;
        }
        let parts = literals.iter().filter(|part| line.contains(*part));
        let most = parts.map(|part| part.chars().count()).max().unwrap_or(0);
        if width - most > WIDTH {
            numbers.push(i + 1);
        }
    }
    numbers
}

#[test]
fn lines_have_at_most_100_columns() {
    let mut wrong = String::new();
    for (file, text) in source() {
        for number in too_long(&text) {
            let _ = writeln!(wrong, "{file}:{number} is longer");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

// The test's own tests, on a small tree.

fn small() -> BTreeMap<String, String> {
    [
        (
            "src/lib.rs",
            "#[path = \".\"] pub mod internals { pub mod a; pub mod b; pub mod c; }
            use internals::{a, b, c}; pub const VERSION: u8 = 1;",
        ),
        ("src/main.rs", "mod alone; fn main() { zroot::internals::c::run() }"),
        ("src/alone.rs", "/// See [`crate::a::one`].\n// crate::b::X\nfn f() { \"crate::b\"; std::mem::take() }"),
        ("src/a/mod.rs", "pub mod one; mod two; pub use one::Thing; pub struct Item;"),
        ("src/a/one.rs", "pub struct Thing; #[cfg(test)] mod tests { use crate::c::run; }"),
        ("src/a/two.rs", "use super::{one::{self, Thing as T}, Item}; fn f() { one::g(); }"),
        ("src/b.rs", "use crate::{\n    a::{Thing,\n        two::*},\n};\npub(in crate::c) struct X;"),
        (
            "src/c.rs",
            "use crate::a::one as first; fn run() { assert!(matches!(x, $crate::b::X)); first::h(); self::k(); y.a::<T>(); }
            mod inner { use super::super::a::two::Z; fn v() { crate::VERSION } }",
        ),
    ]
    .map(|(file, text)| (file.to_owned(), text.to_owned()))
    .into()
}

const SMALL_TABLE: &str = "
| where | what it knows | may depend on |
|---|---|---|
| `link.ld` | nothing of Rust's | names in `a` |
| `src/lib.rs`, `src/main.rs` | all | all |
| `src/alone.rs` | itself | nothing |
| `src/a/` | one and two | `a`, `a::one` |
| `src/b.rs` | b | all of `a` |
| `src/c.rs` | c | `a::one`, `a::two`, `b`, `lib` |

| `src/d.rs` | of another table | `a` |
";

#[test]
fn paths_are_found_however_they_are_written() {
    use Edge::{ReExport, Use};
    let expected: [(&str, &[(&str, Edge)]); 8] = [
        ("a", &[("a::one", ReExport)]),
        ("a::one", &[]),
        ("a::two", &[("a", Use), ("a::one", Use)]),
        ("alone", &[]),
        ("b", &[("a", Use), ("a::two", Use)]),
        (
            "c",
            &[("a::one", Use), ("a::two", Use), ("b", Use), ("lib", Use)],
        ),
        ("lib", &[("a", ReExport), ("b", ReExport), ("c", ReExport)]),
        ("main", &[("c", Use)]),
    ];
    let graph = graph(&small());
    assert_eq!(graph.len(), expected.len());
    for (module, uses) in expected {
        let uses = uses
            .iter()
            .map(|(module, edge)| ((*module).to_owned(), *edge));
        assert_eq!(graph[module], uses.collect(), "{module}");
    }
}

#[test]
fn what_the_table_forbids_is_found() {
    let with = |file: &str, text: &str| {
        let mut source = small();
        source.entry(file.into()).or_default().push_str(text);
        source
    };
    assert_eq!(disagreements(SMALL_TABLE, &small()), [""; 0]);
    for text in [
        "use crate::c::run;",
        "fn f() { crate::c::run() }",
        "use crate::{c};",
        "fn f() { 0..crate::c::MOST }",
        "use crate::c; fn f() { c::run() }",
        "fn f() { println!(\"{}\", crate::c::run()) }",
        "use super::c::run;",
    ] {
        let wrong = disagreements(SMALL_TABLE, &with("src/b.rs", text));
        assert_eq!(
            wrong,
            ["src/b.rs uses c, which its row does not allow"],
            "{text}"
        );
    }
    let table = SMALL_TABLE.replace("`a`, `a::one`", "`a`, `a::one`, `b`");
    let wrong = disagreements(&table, &small());
    assert_eq!(wrong, ["`src/a/` may use b, and does not"]);
    let wrong = disagreements(SMALL_TABLE, &with("src/e.rs", ""));
    assert_eq!(wrong, ["src/e.rs has no row"]);
    let table = SMALL_TABLE.replace(
        "| `src/b.rs` |",
        "| `src/b.rs`, `src/f.rs`, `src/a/one.rs` |",
    );
    let wrong = disagreements(&table, &small());
    assert_eq!(wrong, ["there is no src/f.rs", "src/a/one.rs has 2 rows"]);
    let table = SMALL_TABLE.replace("| all of `a` |", "| names in `a` |");
    let wrong = disagreements(&table, &small());
    assert_eq!(
        wrong,
        [
            "the row of `src/b.rs`: 'names in `a`' is no module",
            "src/b.rs has no row"
        ]
    );
    let rows = rows_of_the_source(SMALL_TABLE, &with("src/e.rs", "use crate::a::two::Z;"));
    assert!(
        rows.contains("| `src/b.rs` | b | `a`, `a::two` |\n"),
        "{rows}"
    );
    assert!(
        rows.ends_with("| `src/e.rs` | ... | `a::two` |\n"),
        "{rows}"
    );
}

#[test]
fn circles_are_found() {
    let with = |file: &str, text: &str| {
        let mut source = small();
        source.entry(file.into()).or_default().push_str(text);
        circles(&graph(&source))
    };
    // A parent that only hands on what its children have is in none.
    assert_eq!(with("src/b.rs", ""), [""; 0]);
    assert_eq!(
        with("src/a/mod.rs", "fn f() { two::g() }"),
        ["in a circle: a uses a::two", "in a circle: a::two uses a"]
    );
    assert_eq!(
        with("src/a/one.rs", "use crate::c::run;"),
        [
            "in a circle: a::one uses c",
            "in a circle: a::two uses a::one",
            "in a circle: b uses a::two",
            "in a circle: c uses a::one",
            "in a circle: c uses a::two",
            "in a circle: c uses b",
        ]
    );
}

#[test]
fn unsafe_and_long_lines_are_found() {
    let text = "unsafe_code!(); m!({ unsafe { f() } }); unsafe fn f() {} // unsafe\nconst A: &str = \"unsafe\";";
    assert_eq!(count_unsafe(&tokens(text)), 2);
    let long = "x ".repeat(60);
    let lines = [
        format!("// {long}"),
        format!("f(\"{long}\");"),
        "const A: &str = \"\\".into(),
        format!("    {long} \\"),
        format!("    {long}\";"),
        "#[rustfmt::skip]".into(),
        "const B: [u8; 1] = [".into(),
        format!("    y, // {long}"),
        "];".into(),
        format!("#[arg({long})] // one"),
        format!("#[arg({long})]"),
        format!("struct C; // {long}"),
    ];
    assert_eq!(too_long(&lines.join("\n")), [1, 10, 12]);
}
