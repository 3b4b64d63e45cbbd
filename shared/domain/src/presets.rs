//! The presets: the parts of LogisEdge's own database that most people want to back up.

use crate::scope::Selection;

/// The preset that holds all of a source.
pub const FULL_DATABASE: &str = "full-database";

/// The built-in presets but [`FULL_DATABASE`], each with the table patterns that it includes.
pub const PRESETS: [(&str, &[&str]); 5] = [
    ("customers", &["customer*"]),
    (
        "items",
        &["item*", "warehouse*", "stock_level*", "supplier*"],
    ),
    (
        "transactions",
        &[
            "sales_order*",
            "purchase_order*",
            "shipment*",
            "stock_movement*",
        ],
    ),
    (
        "financial",
        &["account*", "journal_*", "invoice*", "payment*", "tax_*"],
    ),
    ("documents", &["document*"]),
];

/// The table patterns of a built-in preset; none for [`FULL_DATABASE`] and unknown names.
pub fn preset_patterns(name: &str) -> Option<&'static [&'static str]> {
    let found = PRESETS.iter().find(|(preset, _)| *preset == name);
    found.map(|(_, patterns)| *patterns)
}

/// What a built-in preset selects.
pub fn preset_selection(name: &str) -> Option<Selection> {
    if name == FULL_DATABASE {
        return Some(Selection::Everything);
    }
    let patterns = preset_patterns(name)?;
    Some(Selection::Tables {
        include: patterns.iter().map(|p| (*p).to_owned()).collect(),
        exclude: Vec::new(),
    })
}
