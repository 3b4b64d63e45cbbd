//! What the statements of a post-data script need of one another: which may run side by side.
//!
//! Only what is surely understood runs out of turn: indexes, keys, and foreign keys, in the words in
//! which `pg_dump` writes them. Everything else keeps its place, after all before it and before all
//! after it. Which lock a statement takes is documented at
//! <https://www.postgresql.org/docs/current/explicit-locking.html>.

use super::statements::{Word, statements, words};

/// A table: schema and name, unquoted.
pub(super) type TableName = (String, String);

/// A script, cut into stages that follow one another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    pub(super) stages: Vec<Stage<'a>>,
    /// The session settings that the script makes, as they stand after each change of them: what
    /// is set, and the statement. Names are only ever added, at the end.
    pub(super) settings: Vec<Vec<(String, &'a str)>>,
}

impl Plan<'_> {
    /// The most builds that one stage has.
    pub(super) fn width(&self) -> usize {
        let widths = self.stages.iter().map(|stage| stage.builds.len());
        widths.max().unwrap_or(0)
    }

    /// Statements that lead a session from one state of the script's settings to another. A setting
    /// that the other state does not have goes back to the session's own.
    pub(super) fn change(&self, before: usize, after: usize) -> impl Iterator<Item = String> {
        let state = |settings: usize| match settings.checked_sub(1) {
            Some(last) => self.settings[last].as_slice(),
            None => &[],
        };
        let (before, after) = (state(before), state(after));
        let reset = before.iter().skip(after.len());
        let reset = reset.map(|(name, _)| format!("RESET {name}"));
        let set = after.iter().filter(|setting| !before.contains(setting));
        reset.chain(set.map(|(_, text)| (*text).to_owned()))
    }
}

/// What runs side by side, and what comes after it in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stage<'a> {
    pub(super) kind: BuildKind,
    pub(super) builds: Vec<Build<'a>>,
    /// In order, each on its own, when all builds are done.
    pub(super) tail: Vec<Statement<'a>>,
    /// Nothing may move in front of a statement of the tail.
    closed: bool,
}

/// A statement and the settings under which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    pub(super) text: &'a str,
    /// How many of [`Plan::settings`] had been made; the last of those is in effect.
    pub(super) settings: usize,
}

/// What the builds of a stage are. Foreign keys need the keys that they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuildKind {
    Indexes,
    ForeignKeys,
}

/// A statement that reads whole tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Build<'a> {
    pub(super) statement: Statement<'a>,
    /// The table that it is made on.
    pub(super) table: TableName,
    pub(super) lock: Lock,
}

/// What a build keeps others from doing meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lock {
    /// `CREATE INDEX`: several on one table get along.
    Shared,
    /// `ADD CONSTRAINT` of a key: alone on its table.
    Alone,
    /// `ADD CONSTRAINT` of a foreign key: alone on its table and on the one it refers to.
    AloneWith(TableName),
}

/// What a statement is.
enum Nature {
    /// Changes the session; the name of what it sets.
    Setting(String),
    Build(BuildKind, TableName, Lock),
    /// Says something about an index or key that was made before, and is quick: it may come later
    /// than other builds.
    Afterthought,
    Other,
    /// Might change the session, or begin a transaction.
    Unknown,
}

/// Plans a script. None where something in it might depend on its session: such a script has to
/// run from its first line to its last in one.
pub(super) fn plan(script: &str) -> Option<Plan<'_>> {
    let mut plan = Plan::default();
    let mut names: Vec<(String, &str)> = Vec::new();
    for text in statements(script) {
        let statement = Statement {
            text,
            settings: plan.settings.len(),
        };
        match nature(text) {
            Nature::Unknown => return None,
            Nature::Setting(name) => {
                match names.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, before)) if *before == text => continue,
                    Some((_, before)) => *before = text,
                    None => names.push((name, text)),
                }
                plan.settings.push(names.clone());
            }
            Nature::Build(kind, table, lock) => {
                let build = Build {
                    statement,
                    table,
                    lock,
                };
                match plan.stages.last_mut() {
                    Some(stage) if !stage.closed && stage.kind == kind => stage.builds.push(build),
                    _ => plan.stages.push(Stage {
                        kind,
                        builds: vec![build],
                        tail: Vec::new(),
                        closed: false,
                    }),
                }
            }
            nature => {
                if plan.stages.is_empty() {
                    plan.stages.push(Stage {
                        kind: BuildKind::Indexes,
                        builds: Vec::new(),
                        tail: Vec::new(),
                        closed: true,
                    });
                }
                if let Some(stage) = plan.stages.last_mut() {
                    stage.closed |= matches!(nature, Nature::Other);
                    stage.tail.push(statement);
                }
            }
        }
    }
    Some(plan)
}

fn nature(statement: &str) -> Nature {
    let words = words(statement);
    let at = Cursor(&words);
    let first = match at.0.first() {
        Some(Word::Plain(word)) => word.to_ascii_uppercase(),
        _ => return Nature::Unknown,
    };
    match first.as_str() {
        "SET" | "SELECT" => setting(at).map_or(Nature::Unknown, Nature::Setting),
        "CREATE" if at.0.get(1).is_some_and(is_temporary) => Nature::Unknown,
        "CREATE" => index(at).unwrap_or(Nature::Other),
        "ALTER" => constraint(at)
            .or_else(|| afterthought(at))
            .unwrap_or(Nature::Other),
        "COMMENT" => afterthought(at).unwrap_or(Nature::Other),
        "GRANT" | "REVOKE" | "SECURITY" | "REFRESH" | "DROP" => Nature::Other,
        _ => Nature::Unknown,
    }
}

fn is_temporary(word: &Word<'_>) -> bool {
    matches!(word, Word::Plain(word) if ["TEMPORARY", "TEMP", "LOCAL", "GLOBAL"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword)))
}

/// `SET name = value` or `SELECT pg_catalog.set_config('name', 'value', false)`.
fn setting(mut at: Cursor<'_>) -> Option<String> {
    if at.keyword("SET") {
        let mut name = at.name()?;
        if at.mark('.') {
            name = format!("{name}.{}", at.name()?);
        }
        return (at.mark('=') && !at.0.is_empty()).then_some(name);
    }
    match at.0 {
        [
            Word::Plain("SELECT"),
            Word::Plain("pg_catalog"),
            Word::Mark('.'),
            Word::Plain("set_config"),
            Word::Mark('('),
            Word::Text(name),
            Word::Mark(','),
            Word::Text(_),
            Word::Mark(','),
            Word::Plain("false"),
            Word::Mark(')'),
        ] => Some(name.trim_matches('\'').to_ascii_lowercase()),
        _ => None,
    }
}

/// `CREATE [UNIQUE] INDEX name ON [ONLY] schema.table USING …`.
fn index(mut at: Cursor<'_>) -> Option<Nature> {
    at.keyword("CREATE");
    at.keyword("UNIQUE");
    if !(at.keyword("INDEX") && at.name().is_some() && at.keyword("ON")) {
        return None;
    }
    at.keyword("ONLY");
    let table = at.qualified()?;
    at.keyword("USING")
        .then_some(Nature::Build(BuildKind::Indexes, table, Lock::Shared))
}

/// `ALTER TABLE [ONLY] schema.table ADD CONSTRAINT name …` of a key or a foreign key, and nothing
/// else with it.
fn constraint(mut at: Cursor<'_>) -> Option<Nature> {
    let table = at.altered_table()?;
    let added = at.keyword("ADD") && at.keyword("CONSTRAINT") && at.name().is_some();
    if !added || at.lists() {
        return None;
    }
    if at.keyword("PRIMARY") || at.keyword("UNIQUE") || at.keyword("EXCLUDE") {
        return Some(Nature::Build(BuildKind::Indexes, table, Lock::Alone));
    }
    if !(at.keyword("FOREIGN") && at.keyword("KEY") && at.parenthesised()) {
        return None;
    }
    let other = at.keyword("REFERENCES").then(|| at.qualified())??;
    let lock = Lock::AloneWith(other);
    Some(Nature::Build(BuildKind::ForeignKeys, table, lock))
}

/// What `pg_dump` writes about an index or a key right after it, and the joining of an index to the
/// one of a partitioned table.
fn afterthought(mut at: Cursor<'_>) -> Option<Nature> {
    let understood = if at.keyword("COMMENT") {
        let index = at.keyword("ON") && at.keyword("INDEX") && at.qualified().is_some();
        let constraint = at.keyword("CONSTRAINT")
            && at.name().is_some()
            && at.keyword("ON")
            && at.qualified().is_some();
        (index || constraint) && at.keyword("IS")
    } else if let Some(mut index) = at.altered("INDEX") {
        let attach = index.keyword("ATTACH") && index.keyword("PARTITION");
        let column = index.keyword("ALTER") && index.keyword("COLUMN");
        attach || column
    } else {
        at.altered_table()?;
        let cluster = at.keyword("CLUSTER") && at.keyword("ON");
        let identity = at.keyword("REPLICA")
            && at.keyword("IDENTITY")
            && at.keyword("USING")
            && at.keyword("INDEX");
        (cluster || identity) && at.name().is_some() && at.0.is_empty()
    };
    (understood && !at.lists()).then_some(Nature::Afterthought)
}

/// Reads words from the front.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [Word<'a>]);

impl<'a> Cursor<'a> {
    /// Whether this keyword comes next; it is taken if so.
    fn keyword(&mut self, keyword: &str) -> bool {
        let next =
            matches!(self.0.first(), Some(Word::Plain(word)) if word.eq_ignore_ascii_case(keyword));
        if next {
            self.0 = &self.0[1..];
        }
        next
    }

    fn mark(&mut self, mark: char) -> bool {
        let next = self.0.first() == Some(&Word::Mark(mark));
        if next {
            self.0 = &self.0[1..];
        }
        next
    }

    /// A name, as PostgreSQL stores it.
    fn name(&mut self) -> Option<String> {
        let (first, rest) = self.0.split_first()?;
        let name = match first {
            Word::Plain(name) => name.to_ascii_lowercase(),
            Word::Quoted(name) => name.clone(),
            Word::Text(_) | Word::Mark(_) => return None,
        };
        self.0 = rest;
        Some(name)
    }

    /// `schema.name`; a name alone would depend on the search path.
    fn qualified(&mut self) -> Option<TableName> {
        let schema = self.name()?;
        let name = self.mark('.').then(|| self.name())??;
        (self.0.first() != Some(&Word::Mark('.'))).then_some((schema, name))
    }

    /// What stands behind `ALTER <kind> schema.name`.
    fn altered(mut self, kind: &str) -> Option<Self> {
        (self.keyword("ALTER") && self.keyword(kind)).then_some(())?;
        self.qualified()?;
        Some(self)
    }

    /// `ALTER TABLE [ONLY] schema.name`.
    fn altered_table(&mut self) -> Option<TableName> {
        (self.keyword("ALTER") && self.keyword("TABLE")).then_some(())?;
        self.keyword("ONLY");
        self.qualified()
    }

    /// Takes everything between a pair of parentheses, and them.
    fn parenthesised(&mut self) -> bool {
        let mut depth = 0_usize;
        for (at, word) in self.0.iter().enumerate() {
            match word {
                Word::Mark('(') => depth += 1,
                Word::Mark(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                self.0 = &self.0[at + 1..];
                return at > 0;
            }
        }
        false
    }

    /// Whether a comma stands outside of parentheses: another thing is done in the same statement.
    fn lists(&self) -> bool {
        let mut depth = 0_i32;
        self.0.iter().any(|word| {
            match word {
                Word::Mark('(' | '[') => depth += 1,
                Word::Mark(')' | ']') => depth -= 1,
                _ => {}
            }
            depth <= 0 && *word == Word::Mark(',')
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(script: &str) -> String {
        let Some(plan) = plan(script) else {
            return "in one session".to_owned();
        };
        let mut lines = Vec::new();
        for stage in &plan.stages {
            lines.push(format!("{:?}", stage.kind));
            for build in &stage.builds {
                let lock = match &build.lock {
                    Lock::Shared => "shared".to_owned(),
                    Lock::Alone => "alone".to_owned(),
                    Lock::AloneWith((schema, name)) => format!("alone with {schema}|{name}"),
                };
                lines.push(format!(
                    "  {}|{} {lock} [{}]",
                    build.table.0, build.table.1, build.statement.settings
                ));
            }
            for statement in &stage.tail {
                let front: String = statement.text.chars().take(40).collect();
                lines.push(format!("  then {front} [{}]", statement.settings));
            }
        }
        for settings in &plan.settings {
            let last: Vec<&str> = settings.iter().map(|(_, text)| *text).collect();
            lines.push(last.join(" | "));
        }
        lines.join("\n")
    }

    #[test]
    fn a_dump_is_cut_where_order_matters() {
        let script = r#"
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
ALTER TABLE ONLY public.a
    ADD CONSTRAINT a_pkey PRIMARY KEY (id, "x,y");
COMMENT ON CONSTRAINT a_pkey ON public.a IS 'a; key, of sorts';
SET default_tablespace = fast;
ALTER TABLE ONLY "S S"."Büro "" .x"
    ADD CONSTRAINT e EXCLUDE USING gist (during WITH &&) WHERE ((a = ANY (ARRAY[1, 2])));
ALTER TABLE public.a CLUSTER ON a_pkey;
SET default_tablespace = '';
CREATE UNIQUE INDEX i ON ONLY public.A USING btree (lower(t), ((x || ','::text))) INCLUDE (b) WHERE (c > 1);
ALTER INDEX public.i ALTER COLUMN 1 SET STATISTICS 100;
ALTER INDEX public.i ATTACH PARTITION public.j;
ALTER TABLE ONLY public.a REPLICA IDENTITY USING INDEX i;
COMMENT ON INDEX public.i IS 'x, y';
CREATE INDEX j ON public.j USING btree (id);
CREATE TRIGGER t AFTER INSERT ON public.a FOR EACH ROW EXECUTE FUNCTION public.f();
CREATE INDEX late ON public.a USING btree (b);
ALTER TABLE ONLY public.a
    ADD CONSTRAINT f FOREIGN KEY (x, y) REFERENCES "S S"."Büro "" .x"(x, y) ON DELETE SET NULL (x) DEFERRABLE;
COMMENT ON CONSTRAINT f ON public.a IS 'f';
ALTER TABLE public.a ADD CONSTRAINT g FOREIGN KEY (x) REFERENCES public.a(x) NOT VALID;
CREATE POLICY p ON public.a USING (true);
"#;
        insta::assert_snapshot!(shown(script), @r#"
        Indexes
          public|a alone [2]
          S S|Büro " .x alone [3]
          public|a shared [4]
          public|j shared [4]
          then COMMENT ON CONSTRAINT a_pkey ON public.a [2]
          then ALTER TABLE public.a CLUSTER ON a_pkey [3]
          then ALTER INDEX public.i ALTER COLUMN 1 SET  [4]
          then ALTER INDEX public.i ATTACH PARTITION pu [4]
          then ALTER TABLE ONLY public.a REPLICA IDENTI [4]
          then COMMENT ON INDEX public.i IS 'x, y' [4]
          then CREATE TRIGGER t AFTER INSERT ON public. [4]
        Indexes
          public|a shared [4]
        ForeignKeys
          public|a alone with S S|Büro " .x [4]
          public|a alone with public|a [4]
          then COMMENT ON CONSTRAINT f ON public.a IS ' [4]
          then CREATE POLICY p ON public.a USING (true) [4]
        SET statement_timeout = 0
        SET statement_timeout = 0 | SELECT pg_catalog.set_config('search_path', '', false)
        SET statement_timeout = 0 | SELECT pg_catalog.set_config('search_path', '', false) | SET default_tablespace = fast
        SET statement_timeout = 0 | SELECT pg_catalog.set_config('search_path', '', false) | SET default_tablespace = ''
        "#);
    }

    #[test]
    fn settings_are_those_of_the_statements_place() {
        let script = "SET a = 1;\nSET b = 1;\nSET a = 2;\nSET c.d = 1;\nSET c.d = 1;";
        let plan = plan(script).unwrap();
        let change = |before, after| plan.change(before, after).collect::<Vec<_>>().join("; ");
        assert_eq!(plan.settings.len(), 4);
        assert_eq!(change(0, 4), "SET a = 2; SET b = 1; SET c.d = 1");
        assert_eq!(change(4, 2), "RESET c.d; SET a = 1");
        assert_eq!(change(2, 3), "SET a = 2");
        assert_eq!(change(1, 0), "RESET a");
        assert_eq!(change(3, 3), "");
    }

    #[test]
    fn what_is_not_surely_understood_keeps_its_place() {
        for other in [
            "ALTER TABLE ONLY a ADD CONSTRAINT k PRIMARY KEY (id)",
            "ALTER TABLE public.a ADD CONSTRAINT k UNIQUE (id), ALTER COLUMN b SET NOT NULL",
            "ALTER TABLE public.a ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID",
            "ALTER TABLE public.a ADD FOREIGN KEY (b) REFERENCES public.c",
            "ALTER TABLE public.a ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES c(b)",
            "ALTER TABLE public.a CLUSTER ON i, SET LOGGED",
            "CREATE INDEX CONCURRENTLY i ON public.a USING btree (id)",
            "CREATE INDEX i ON a USING btree (id)",
            "CREATE INDEX ON public.a USING btree (id)",
            "CREATE STATISTICS public.s ON a, b FROM public.a",
            "COMMENT ON TRIGGER t ON public.a IS 'x'",
            "COMMENT ON CONSTRAINT c ON DOMAIN public.d IS 'x'",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        ] {
            let plan = plan(other).unwrap();
            assert_eq!(plan.stages.len(), 1, "{other}");
            assert!(
                plan.stages[0].closed && plan.stages[0].builds.is_empty(),
                "{other}"
            );
        }
    }

    #[test]
    fn what_might_change_the_session_needs_one_session() {
        for unknown in [
            "SET SESSION AUTHORIZATION 'ann'",
            "SET ROLE ann",
            "RESET ALL",
            "BEGIN",
            "SELECT pg_catalog.set_config('search_path', '', true)",
            "SELECT public.f()",
            "DO $$ BEGIN END $$",
            "LOCK TABLE public.a",
            "CREATE TEMPORARY TABLE t ()",
            "\"quoted\"",
        ] {
            assert_eq!(plan(unknown), None, "{unknown}");
        }
    }
}
