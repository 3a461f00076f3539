//! The perversions, where this build has them, fit the catalogue.
#![cfg(feature = "perverse")]

use std::collections::BTreeSet;

use uffd_conformance::statements;
use uffd_harness::perverse;

#[test]
fn perversions_break_only_statements_of_the_catalogue() {
    for perversion in perverse::all() {
        for id in perversion.breaks {
            assert!(statements::find(id).is_some(), "{}: no statement is called {id}", perversion.name);
        }
    }
}

#[test]
fn every_area_that_has_suites_has_perversions() {
    let areas: BTreeSet<&str> =
        perverse::all().iter().flat_map(|perversion| perversion.breaks).filter_map(|id| id.split('-').next()).collect();
    for area in ["CREATE", "API", "REG", "UNREG", "FAULT", "POLL", "COPY", "ZERO", "CONT", "WAKE"] {
        assert!(areas.contains(area), "no perversion breaks a statement of {area}");
    }
    assert!(perverse::all().len() >= 120);
}
