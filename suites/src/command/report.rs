//! `report`: records of this machine or others, in every format.

use std::path::Path;

use uffd_harness::record::Recorded;
use uffd_harness::report::{Catalogue, StatementInfo, html, json, junit, ktap, markdown, terminal};

use super::{PASSED, ReportArguments, Usage, print};
use crate::statements::{self, Class};

/// Writes the reports that are asked for, or prints the terminal's.
pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<u8> {
    let mut records = Vec::new();
    for path in &arguments.records {
        let recorded = Recorded::read(path).map_err(|error| Usage(error.to_string()))?;
        for (line, why) in &recorded.bad_lines {
            eprintln!("uffd-conformance: {}: line {line} is passed over: {why}", path.display());
        }
        records.push(recorded);
    }
    let catalogue = catalogue();
    let wanted: [(&Option<_>, &dyn Fn() -> uffd_harness::Result<String>); 5] = [
        (&arguments.html, &|| Ok(html::render(&records, &catalogue))),
        (&arguments.markdown, &|| Ok(markdown::render(&records, &catalogue))),
        (&arguments.junit, &|| junit::render(&records)),
        (&arguments.ktap, &|| Ok(ktap::render(&records))),
        (&arguments.json, &|| json::render(&records, &catalogue)),
    ];
    for (path, render) in &wanted {
        if let Some(path) = path {
            write(path, &render()?)?;
        }
    }
    if wanted.iter().all(|(path, _)| path.is_none()) {
        let mut text = terminal::matrix(&records, &catalogue);
        if let [recorded] = records.as_slice() {
            text = terminal::failures(recorded) + &text;
        }
        print(&text)?;
    }
    Ok(PASSED)
}

/// Writes a report; `-` is the standard output.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        return print(text);
    }
    std::fs::write(path, text)
        .map_err(|error| Usage(format!("{}: {error}; name a file that can be written", path.display())).into())
}

/// The statements as reports tell them.
pub(super) fn catalogue() -> Catalogue {
    let info = |statement: &statements::Statement| StatementInfo {
        text: statement.statement.clone(),
        source: statement.source.clone(),
        class: if statement.class == Class::Promise { "promise" } else { "observed" }.to_owned(),
        disputed: statement.disputed.clone(),
    };
    let statements = statements::all().iter().map(|statement| (statement.id.clone(), info(statement))).collect();
    Catalogue { statements }
}
