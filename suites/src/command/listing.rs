//! `list`: the cases, their axes, statements and needs.

use serde_json::json;
use uffd_harness::case::{self, Case};
use uffd_harness::kernel;
use uffd_harness::need::Who;
use uffd_harness::record::Axes;

use super::{PASSED, filter, print};

/// Prints the cases; what each lacks here is told too.
pub(super) fn list(filters: &[String], json: bool) -> anyhow::Result<u8> {
    let cases = filter::choose(case::all()?, filters)?;
    let here = kernel::current();
    let mut text = String::new();
    for case in &cases {
        let declaration = &case.declaration;
        let lack = declaration.lack(here);
        if json {
            text += &format!(
                "{}\n",
                json!({
                    "case": declaration.name,
                    "area": declaration.area,
                    "axes": Axes(declaration.axes.clone()),
                    "statements": declaration.statements,
                    "needs": needs(case),
                    "source": declaration.source,
                    "lacks": lack.as_ref().map(|lack| lack.who),
                    "reason": lack.as_ref().map(|lack| &lack.reason),
                })
            );
        } else {
            let lack = lack.map_or_else(String::new, |lack| {
                let who = if lack.who == Who::Kernel { "kernel" } else { "machine" };
                format!("  [{who} lacks: {}]", lack.reason)
            });
            text += &format!("{}  ({}){lack}\n", declaration.name, declaration.statements.join(" "));
        }
    }
    print(&text)?;
    Ok(PASSED)
}

fn needs(case: &Case) -> Vec<String> {
    case.declaration.needs.iter().map(ToString::to_string).collect()
}
