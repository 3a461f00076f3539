//! `src/uapi.rs` says what the C header says: every constant, every struct, every field.
//!
//! The header is the newest of the folder that `scripts/fetch-uapi-header` fills and `/usr/include`, or the one below
//! `$UFFD_UAPI_INCLUDE`. ctest writes a C and a Rust half from `uapi.rs`; both are compiled and compared here, at run
//! time, so that a build of the harness itself needs no C compiler.

use std::collections::BTreeSet;
use std::env;
use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use ctest::TestGenerator;
use tempfile::TempDir;
use uffd_harness::uapi::uffd_msg;

const SOURCE: &str = include_str!("../src/uapi.rs");

/// A problem is told in words, for whoever runs the tests.
type Result<T> = std::result::Result<T, String>;

/// The names of an interface, from either language.
#[derive(Default, PartialEq)]
struct Names {
    constants: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Names {
    /// The names that `uapi.rs` defines. It is generated and formatted, so each definition begins a line.
    fn of_rust(source: &str) -> Self {
        let mut names = Self::default();
        for line in source.lines() {
            let mut words = line.split([' ', ':']).filter(|word| !word.is_empty());
            match (words.next(), words.next(), words.next()) {
                (Some("pub"), Some("const"), Some(name)) => names.constants.insert(name.to_owned()),
                (Some("pub"), Some("struct" | "union"), Some(name)) => names.types.insert(name.to_owned()),
                _ => false,
            };
        }
        names
    }

    /// The names in a C header that went through the preprocessor with its macros kept.
    fn of_c(text: &str) -> Self {
        let mut names = Self::default();
        for name in text.lines().filter_map(|line| line.strip_prefix("#define ")).map(identifier) {
            if ["UFFD", "_UFFD", "USERFAULTFD"].iter().any(|start| name.starts_with(start)) {
                names.constants.insert(name.to_owned());
            }
        }
        for rest in text.split("struct ").skip(1) {
            let name = identifier(rest);
            if name.starts_with("uff") && rest[name.len()..].trim_start().starts_with('{') {
                names.types.insert(name.to_owned());
            }
        }
        names
    }

    /// The constants and types of `self` that `other` lacks. A part of `uffd_msg` is there when `uffd_msg` is.
    fn missing_in<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let constants = self.constants.difference(&other.constants);
        let types = self.types.iter().filter(|name| match part(name) {
            Some(_) => !other.types.contains("uffd_msg"),
            None => !other.types.contains(*name),
        });
        constants.chain(types).map(String::as_str).collect()
    }
}

/// What C calls a part of `uffd_msg` that has no name there: `uffd_msg_arg_fork` is the type of `arg.fork`.
fn part(rust_type: &str) -> Option<String> {
    rust_type.strip_prefix("uffd_msg_").map(|path| path.replace('_', "."))
}

/// The constants that sum up others, and so say something else in a header that has more or fewer names.
fn is_sum(constant: &str) -> bool {
    constant.starts_with("UFFD_API_")
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Major and minor of the kernel that `uapi.rs` says it was generated from.
fn version_of_rust(source: &str) -> Result<(u32, u32)> {
    let after = source.split_once("the header of kernel ").ok_or("uapi.rs does not say its kernel version")?.1;
    let version = after.split_whitespace().next().and_then(|word| word.split_once('.'));
    let (major, minor) = version.ok_or("uapi.rs names no kernel version of the form 7.3")?;
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => Err(format!("uapi.rs names no kernel version of the form 7.3 but {major}.{minor}")),
    }
}

/// A C header on this machine.
struct Header {
    include: PathBuf,
    /// `LINUX_VERSION_CODE`, or 0 when no `linux/version.h` lies beside it.
    version: u32,
    names: Names,
}

impl Header {
    fn newest() -> Result<Self> {
        let mut headers = Vec::new();
        for include in candidates()? {
            headers.push(Self::read(include)?);
        }
        let ours = Names::of_rust(SOURCE);
        headers
            .into_iter()
            .min_by_key(|header| (ours.missing_in(&header.names).len(), std::cmp::Reverse(header.version)))
            .ok_or_else(|| {
                "no linux/userfaultfd.h found: run scripts/fetch-uapi-header, install the kernel's headers \
                 (Debian: linux-libc-dev), or name a folder that has it in UFFD_UAPI_INCLUDE"
                    .to_owned()
            })
    }

    fn read(include: PathBuf) -> Result<Self> {
        let version = fs::read_to_string(include.join("linux/version.h"))
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix("#define LINUX_VERSION_CODE ")?.trim().parse().ok())
            .unwrap_or(0);
        let mut header = Self { include, version, names: Names::default() };
        let dir = temporary_folder()?;
        let probe = dir.path().join("probe.c");
        write(&probe, "#include <linux/userfaultfd.h>\n")?;
        let text = output(compiler(&header)?.args(["-E", "-dD"]).arg(&probe))?;
        header.names = Names::of_c(&text);
        Ok(header)
    }

    fn version(&self) -> (u32, u32) {
        (self.version >> 16, self.version >> 8 & 0xff)
    }

    /// The constants and types that this header can vouch for.
    fn checkable(&self, source: &str) -> Names {
        let mut names = Names::of_rust(source);
        let all_there = names.constants == self.names.constants;
        names.constants.retain(|name| self.names.constants.contains(name) && (all_there || !is_sum(name)));
        names.types.retain(|name| match part(name) {
            Some(_) => self.names.types.contains("uffd_msg"),
            None => self.names.types.contains(name),
        });
        names
    }

    fn describe(&self) -> String {
        let (major, minor) = self.version();
        let kernel = if self.version == 0 {
            "of an unknown kernel".to_owned()
        } else {
            format!("of kernel {major}.{minor}.{}", self.version & 0xff)
        };
        format!("{} {kernel}", self.include.join("linux/userfaultfd.h").display())
    }
}

/// The include folders that hold the header.
fn candidates() -> Result<Vec<PathBuf>> {
    let has_header = |include: &PathBuf| include.join("linux/userfaultfd.h").is_file();
    if let Some(chosen) = env::var_os("UFFD_UAPI_INCLUDE").filter(|value| !value.is_empty()) {
        let chosen = PathBuf::from(chosen);
        return if has_header(&chosen) {
            Ok(vec![chosen])
        } else {
            Err(format!("UFFD_UAPI_INCLUDE is {}, which holds no linux/userfaultfd.h", chosen.display()))
        };
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let fetched = cache.and_then(|cache| fs::read_dir(cache.join("uffd-conformance/uapi-headers")).ok());
    let fetched = fetched.into_iter().flatten().flatten().map(|entry| entry.path().join("usr/include"));
    Ok(fetched.chain([PathBuf::from("/usr/include")]).filter(has_header).collect())
}

/// `$CC` or `cc`, set up to find `header` before any other.
fn compiler(header: &Header) -> Result<Command> {
    let cc = env::var("CC").ok().filter(|cc| !cc.trim().is_empty()).unwrap_or_else(|| "cc".to_owned());
    let mut words = cc.split_whitespace();
    let program = words.next().unwrap_or("cc");
    if let Err(error) = Command::new(program).arg("--version").output() {
        return Err(format!(
            "no C compiler ({program}: {error}): install one (Debian: gcc, libc6-dev) or name it in CC"
        ));
    }
    let mut command = Command::new(program);
    command.args(words);
    let system = Path::new("/usr/include");
    if header.include != system {
        command.arg("-isystem").arg(&header.include);
        // Debian keeps asm/ in a folder of the architecture.
        command.arg("-isystem").arg(header.include.join(format!("{ARCH}-linux-gnu")));
    }
    Ok(command)
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// What `command` printed, or why it failed with what it had to say about it.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

fn temporary_folder() -> Result<TempDir> {
    TempDir::new().map_err(|error| format!("cannot make a temporary folder: {error}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Compares `source`, the text of `uapi.rs`, with `header`; says how many comparisons were made.
fn compare(source: &str, header: &Header) -> Result<usize> {
    let dir = temporary_folder()?;
    let dir = dir.path();
    let names = Rc::new(header.checkable(source));
    write(&dir.join("uapi.rs"), source)?;

    let mut parts = String::new();
    for (name, path) in names.types.iter().filter_map(|name| Some((name, part(name)?))) {
        let _ = writeln!(parts, "typedef __typeof__(((struct uffd_msg *)0)->{path}) {name};");
    }
    write(&dir.join("parts.h"), &parts)?;

    let versions = output(Command::new(rustc()).arg("-vV"))?;
    let host = versions.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc -vV names no host")?;
    let mut generator = TestGenerator::new();
    generator.target(host).out_dir(dir);
    for header in ["linux/ioctl.h", "linux/userfaultfd.h", "parts.h"] {
        generator.header(header);
    }
    let known = Rc::clone(&names);
    generator.skip_const(move |constant| !known.constants.contains(constant.ident()));
    let known = Rc::clone(&names);
    generator.skip_struct(move |item| !known.types.contains(item.ident()));
    let known = Rc::clone(&names);
    generator.skip_union(move |item| !known.types.contains(item.ident()));
    generator.rename_struct_ty(|name| part(name).map(|_| name.to_owned()));
    generator.rename_union_ty(|name| part(name).map(|_| name.to_owned()));
    // A keyword in Rust.
    generator.rename_struct_field(|_, field| (field.ident() == "move_").then(|| "move".to_owned()));
    generator
        .generate_files(dir.join("uapi.rs"), "checks.rs")
        .map_err(|error| format!("ctest cannot read uapi.rs: {error}"))?;

    output(
        compiler(header)?
            // A field or constant of another type in Rust is only a warning to C.
            .args([
                "-std=gnu11",
                "-c",
                "-Wno-address-of-packed-member",
                "-Werror=incompatible-pointer-types",
                "-Werror=pointer-sign",
                "-Werror=overflow",
                "-I",
            ])
            .arg(dir)
            .arg("-o")
            .arg(dir.join("checks.o"))
            .arg(dir.join("checks.c")),
    )?;
    write(&dir.join("main.rs"), "mod uapi;\nuse uapi::*;\ninclude!(\"checks.rs\");\n")?;
    let program = dir.join("checks");
    let mut link = OsString::from("-Clink-arg=");
    link.push(dir.join("checks.o"));
    output(
        Command::new(rustc())
            .args(["--edition", "2021", "--cap-lints", "allow", "-o"])
            .args([&program, &dir.join("main.rs")])
            .arg(link),
    )?;
    let said = output(Command::new(&program).env("RUST_BACKTRACE", "0"))?;
    let passed = said.lines().find_map(|line| line.strip_prefix("PASSED ")?.split(' ').next()?.parse().ok());
    match passed {
        Some(count) if count >= names.constants.len() + names.types.len() => Ok(count),
        _ => Err(format!("the comparison ended well but does not say enough: {said}")),
    }
}

/// Has the C compiler assert that the fields of `uffd_msg` lie at `offsets`.
fn compare_offsets(offsets: &[(&str, usize)], header: &Header) -> Result<()> {
    let dir = temporary_folder()?;
    let file = dir.path().join("offsets.c");
    let mut text = String::from("#include <stddef.h>\n#include <linux/userfaultfd.h>\n");
    for (path, offset) in offsets {
        let _ =
            writeln!(text, "_Static_assert(offsetof(struct uffd_msg, {path}) == {offset}, \"{path} is at {offset}\");");
    }
    write(&file, &text)?;
    output(compiler(header)?.args(["-std=gnu11", "-fsyntax-only"]).arg(&file)).map(drop)
}

/// Ends the test with `problem` as it is, where a returned error would be shown quoted and on one line.
fn sound<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|problem| panic!("{problem}"))
}

/// Shown in every run, unlike what a test prints, which a passing one keeps to itself.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "uapi: {text}");
}

#[test]
fn every_constant_struct_and_field_is_that_of_the_c_header() {
    let header = sound(Header::newest());
    let count = sound(compare(SOURCE, &header));

    let (ours, checked) = (Names::of_rust(SOURCE), header.checkable(SOURCE));
    note(&format!(
        "{} of {} constants and {} of {} types checked against {} ({count} comparisons)",
        checked.constants.len(),
        ours.constants.len(),
        checked.types.len(),
        ours.types.len(),
        header.describe(),
    ));
    let too_old = ours.missing_in(&header.names);
    if !too_old.is_empty() {
        note(&format!(
            "not checked, the header is too old: {} (scripts/fetch-uapi-header has a newer one)",
            too_old.join(", ")
        ));
    }
    let sums: Vec<&str> = ours
        .constants
        .difference(&checked.constants)
        .map(String::as_str)
        .filter(|name| !too_old.contains(name))
        .collect();
    if !sums.is_empty() {
        note(&format!("not checked, they sum up other names than the header's: {}", sums.join(", ")));
    }
    let too_new = header.names.missing_in(&ours);
    if !too_new.is_empty() {
        note(&format!("the header has names that uapi.rs lacks: {} (see scripts/generate-uapi)", too_new.join(", ")));
    }
}

#[test]
fn names_are_those_of_the_header_of_its_own_kernel() {
    let header = sound(Header::newest());
    let kernel = sound(version_of_rust(SOURCE));
    let ours = Names::of_rust(SOURCE);
    // A name may be unknown to an older header; to one that is not older it is a name that does not exist.
    if header.version() >= kernel {
        assert_eq!(ours.missing_in(&header.names), [""; 0], "names of uapi.rs that {} lacks", header.describe());
    }
    if header.version() == kernel {
        assert_eq!(header.names.missing_in(&ours), [""; 0], "names of {} that uapi.rs lacks", header.describe());
    }
}

/// The path of each field, as C writes it, with its offset in Rust.
macro_rules! offsets {
    ($($first:ident $(. $rest:ident)*),+ $(,)?) => {
        [$((concat!(stringify!($first) $(, ".", stringify!($rest))*), offset_of!(uffd_msg, $first $(. $rest)*))),+]
    };
}

#[test]
fn fields_of_uffd_msg_lie_where_c_has_them() {
    let offsets = offsets![
        event,
        reserved1,
        reserved2,
        reserved3,
        arg,
        arg.pagefault.flags,
        arg.pagefault.address,
        arg.pagefault.feat,
        arg.pagefault.feat.ptid,
        arg.fork.ufd,
        arg.remap.from,
        arg.remap.to,
        arg.remap.len,
        arg.remove.start,
        arg.remove.end,
        arg.reserved.reserved1,
        arg.reserved.reserved2,
        arg.reserved.reserved3,
    ];
    let header = sound(Header::newest());
    sound(compare_offsets(&offsets, &header));
}

#[test]
fn a_wrong_file_is_found_out() {
    let header = sound(Header::newest());
    let mut source = SOURCE.to_owned();
    for (right, wrong) in [
        ("UFFD_FEATURE_SIGBUS: u64 = 0x80;", "UFFD_FEATURE_SIGBUS: u64 = 0x81;"),
        ("UFFDIO_COPY: u64 = 0xc028_aa03;", "UFFDIO_COPY: u64 = 0xc020_aa03;"),
        ("pub struct uffdio_api {", "#[repr(align(16))]\npub struct uffdio_api {"),
        ("pub from: __u64,\n    pub to: __u64,", "pub to: __u64,\n    pub from: __u64,"),
    ] {
        assert_eq!(source.matches(right).count(), 1, "{right}");
        source = source.replace(right, wrong);
    }
    let problems = compare(&source, &header).expect_err("a file with four mistakes agrees with the header");
    for found in [
        "`UFFD_FEATURE_SIGBUS` value",
        "`UFFDIO_COPY` value",
        "`uffdio_api` size",
        "field offset `from` of `uffd_msg_arg_remap`",
    ] {
        assert!(problems.contains(found), "{found} was not found: {problems}");
    }

    let problem = compare_offsets(&[("event", 0), ("arg.fork.ufd", 12)], &header).expect_err("ufd is not at 12");
    assert!(problem.contains("arg.fork.ufd is at 12") && !problem.contains("event"), "{problem}");
}
