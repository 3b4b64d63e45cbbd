//! Which tables the sample ERP has, and their definitions in either dialect.

/// The type of a column, from which both dialects' types follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A 64-bit number made by the database.
    Id,
    /// A 64-bit number.
    Int,
    /// Two decimals. SQLite: NUMERIC, so fractions are stored as reals.
    Money,
    /// Text.
    Text,
    /// A calendar day. SQLite: text.
    Date,
    /// A second in UTC. SQLite: text.
    Stamp,
    /// True or false. SQLite: 0 or 1.
    Flag,
    /// Bytes.
    Blob,
    /// A JSON document. SQLite: text.
    Json,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether it may be NULL.
    pub null: bool,
    /// The table whose primary key it refers to.
    pub refers: Option<&'static str>,
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// Its primary key.
    pub key: &'static [&'static str],
    /// Columns of its further indexes.
    pub indexes: &'static [&'static str],
    /// Rows per thousand sales orders.
    pub per_mille: u64,
    /// Rows at the least.
    pub rows_min: u64,
    /// Rows at the most (a company has so many warehouses and accounts and no more).
    pub rows_max: u64,
}

const fn c(name: &'static str, kind: Type) -> Column {
    Column {
        name,
        kind,
        null: false,
        refers: None,
    }
}
const fn n(name: &'static str, kind: Type) -> Column {
    Column {
        name,
        kind,
        null: true,
        refers: None,
    }
}
const fn r(name: &'static str, refers: &'static str) -> Column {
    Column {
        name,
        kind: Type::Int,
        null: false,
        refers: Some(refers),
    }
}
const fn rn(name: &'static str, refers: &'static str) -> Column {
    Column {
        name,
        kind: Type::Int,
        null: true,
        refers: Some(refers),
    }
}
const fn t(
    name: &'static str,
    per_mille: u64,
    columns: &'static [Column],
    key: &'static [&'static str],
    indexes: &'static [&'static str],
) -> Table {
    Table {
        name,
        columns,
        key,
        indexes,
        per_mille,
        rows_min: 5,
        rows_max: u64::MAX,
    }
}
const fn fixed(mut table: Table, rows: u64) -> Table {
    table.rows_min = rows;
    table.rows_max = rows;
    table
}

use Type::{Blob, Date, Flag, Id, Int, Json, Money, Stamp, Text};
const ID: &[&str] = &["id"];

/// How many warehouses the company has.
pub const WAREHOUSES: u64 = 8;
/// How many accounts its ledger has.
pub const ACCOUNTS: u64 = 140;
/// How many categories its items are in.
pub const CATEGORIES: u64 = 24;
/// How many tax rates it knows.
pub const TAX_RATES: u64 = 28;

/// Every table, each after the tables it refers to (but for the cycle between customers and their
/// addresses).
pub const TABLES: &[Table] = &[
    t(
        "customers",
        60,
        &[
            c("id", Id),
            c("number", Text),
            c("name", Text),
            n("vat_id", Text),
            c("email", Text),
            n("phone", Text),
            c("credit_limit", Money),
            c("currency", Text),
            rn("default_address_id", "customer_addresses"),
            c("active", Flag),
            n("notes", Text),
            c("created_at", Stamp),
            n("updated_at", Stamp),
        ],
        ID,
        &["number", "name"],
    ),
    t(
        "customer_addresses",
        90,
        &[
            c("id", Id),
            r("customer_id", "customers"),
            c("kind", Text),
            c("street", Text),
            c("postal_code", Text),
            c("city", Text),
            c("country", Text),
        ],
        ID,
        &["customer_id"],
    ),
    t(
        "customer_contacts",
        80,
        &[
            c("id", Id),
            r("customer_id", "customers"),
            c("given_name", Text),
            c("family_name", Text),
            n("phone", Text),
            c("email", Text),
            n("birthday", Date),
        ],
        ID,
        &["customer_id"],
    ),
    t(
        "suppliers",
        8,
        &[
            c("id", Id),
            c("name", Text),
            c("country", Text),
            c("lead_days", Int),
            n("rating", Int),
            c("created_at", Stamp),
        ],
        ID,
        &[],
    ),
    fixed(
        t(
            "item_categories",
            0,
            &[
                c("id", Id),
                rn("parent_id", "item_categories"),
                c("name", Text),
            ],
            ID,
            &[],
        ),
        CATEGORIES,
    ),
    fixed(
        t(
            "warehouses",
            0,
            &[
                c("id", Id),
                c("code", Text),
                c("city", Text),
                c("country", Text),
                c("capacity", Int),
            ],
            ID,
            &[],
        ),
        WAREHOUSES,
    ),
    t(
        "items",
        45,
        &[
            c("id", Id),
            c("sku", Text),
            c("name", Text),
            n("description", Text),
            r("category_id", "item_categories"),
            c("list_price", Money),
            n("weight_grams", Int),
            c("attributes", Json),
            c("active", Flag),
            c("created_at", Stamp),
            n("updated_at", Stamp),
        ],
        ID,
        &["sku", "category_id"],
    ),
    t(
        "item_price_history",
        90,
        &[
            c("id", Id),
            r("item_id", "items"),
            c("valid_from", Date),
            c("price", Money),
        ],
        ID,
        &["item_id"],
    ),
    t(
        "supplier_items",
        70,
        &[
            c("id", Id),
            r("supplier_id", "suppliers"),
            r("item_id", "items"),
            c("supplier_sku", Text),
            c("purchase_price", Money),
        ],
        ID,
        &["supplier_id", "item_id"],
    ),
    t(
        "stock_levels",
        90,
        &[
            r("warehouse_id", "warehouses"),
            r("item_id", "items"),
            c("on_hand", Int),
            c("reserved", Int),
            n("shelf", Text),
            n("counted_on", Date),
        ],
        &["warehouse_id", "item_id"],
        &["item_id"],
    ),
    t(
        "sales_orders",
        1000,
        &[
            c("id", Id),
            c("number", Text),
            r("customer_id", "customers"),
            r("ship_to_id", "customer_addresses"),
            c("status", Text),
            c("currency", Text),
            c("total", Money),
            n("customer_reference", Text),
            n("notes", Text),
            c("ordered_at", Stamp),
            n("updated_at", Stamp),
        ],
        ID,
        &["customer_id", "ordered_at"],
    ),
    t(
        "sales_order_lines",
        3200,
        &[
            c("id", Id),
            r("sales_order_id", "sales_orders"),
            c("line_no", Int),
            r("item_id", "items"),
            c("quantity", Int),
            c("unit_price", Money),
            c("discount_percent", Int),
            n("note", Text),
        ],
        ID,
        &["sales_order_id", "item_id"],
    ),
    t(
        "purchase_orders",
        120,
        &[
            c("id", Id),
            c("number", Text),
            r("supplier_id", "suppliers"),
            r("warehouse_id", "warehouses"),
            c("status", Text),
            c("total", Money),
            c("ordered_at", Stamp),
            n("expected_on", Date),
        ],
        ID,
        &["supplier_id"],
    ),
    t(
        "purchase_order_lines",
        480,
        &[
            c("id", Id),
            r("purchase_order_id", "purchase_orders"),
            r("item_id", "items"),
            c("quantity", Int),
            c("received", Int),
            c("unit_price", Money),
        ],
        ID,
        &["purchase_order_id"],
    ),
    t(
        "shipments",
        950,
        &[
            c("id", Id),
            r("sales_order_id", "sales_orders"),
            r("warehouse_id", "warehouses"),
            c("carrier", Text),
            n("tracking_number", Text),
            c("weight_grams", Int),
            c("shipped_at", Stamp),
            n("delivered_at", Stamp),
        ],
        ID,
        &["sales_order_id"],
    ),
    t(
        "stock_movements",
        3500,
        &[
            c("id", Id),
            r("item_id", "items"),
            r("warehouse_id", "warehouses"),
            c("kind", Text),
            c("quantity", Int),
            rn("shipment_id", "shipments"),
            c("moved_at", Stamp),
            n("note", Text),
        ],
        ID,
        &["item_id", "moved_at"],
    ),
    fixed(
        t(
            "accounts",
            0,
            &[
                c("id", Id),
                rn("parent_id", "accounts"),
                c("number", Text),
                c("name", Text),
                c("kind", Text),
            ],
            ID,
            &[],
        ),
        ACCOUNTS,
    ),
    fixed(
        t(
            "tax_rates",
            0,
            &[
                c("code", Text),
                c("country", Text),
                c("basis_points", Int),
                c("valid_from", Date),
            ],
            &["code"],
            &[],
        ),
        TAX_RATES,
    ),
    t(
        "invoices",
        950,
        &[
            c("id", Id),
            c("number", Text),
            r("sales_order_id", "sales_orders"),
            r("customer_id", "customers"),
            Column {
                name: "tax_code",
                kind: Text,
                null: false,
                refers: Some("tax_rates"),
            },
            c("net", Money),
            c("tax", Money),
            c("status", Text),
            c("issued_on", Date),
            c("due_on", Date),
            n("paid_on", Date),
        ],
        ID,
        &["sales_order_id", "customer_id"],
    ),
    t(
        "invoice_lines",
        3000,
        &[
            c("id", Id),
            r("invoice_id", "invoices"),
            c("position", Int),
            c("text", Text),
            c("quantity", Int),
            c("amount", Money),
        ],
        ID,
        &["invoice_id"],
    ),
    t(
        "payments",
        900,
        &[
            c("id", Id),
            r("invoice_id", "invoices"),
            c("method", Text),
            c("amount", Money),
            c("received_at", Stamp),
            n("bank_reference", Text),
        ],
        ID,
        &["invoice_id"],
    ),
    t(
        "tax_entries",
        950,
        &[
            c("id", Id),
            r("invoice_id", "invoices"),
            c("period", Text),
            c("base", Money),
            c("tax", Money),
        ],
        ID,
        &["period"],
    ),
    t(
        "journal_entries",
        1900,
        &[
            c("id", Id),
            c("posted_at", Stamp),
            c("period", Text),
            c("description", Text),
            rn("invoice_id", "invoices"),
        ],
        ID,
        &["posted_at"],
    ),
    t(
        "journal_lines",
        3900,
        &[
            c("id", Id),
            r("journal_entry_id", "journal_entries"),
            r("account_id", "accounts"),
            n("debit", Money),
            n("credit", Money),
        ],
        ID,
        &["journal_entry_id", "account_id"],
    ),
    t(
        "documents",
        25,
        &[
            c("id", Id),
            rn("customer_id", "customers"),
            rn("invoice_id", "invoices"),
            c("file_name", Text),
            c("media_type", Text),
            n("content", Blob),
            c("created_at", Stamp),
        ],
        ID,
        &["customer_id"],
    ),
];

/// The position of a table in [`TABLES`].
pub fn table(name: &str) -> Option<usize> {
    TABLES.iter().position(|table| table.name == name)
}

/// The dialects that the schema can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.31 or later.
    Sqlite,
    /// PostgreSQL 13 or later.
    Postgres,
}

impl Dialect {
    fn column_type(self, kind: Type) -> &'static str {
        match (self, kind) {
            (Self::Sqlite, Id) => "INTEGER",
            (Self::Postgres, Id) => "bigint GENERATED BY DEFAULT AS IDENTITY",
            (Self::Sqlite, Int | Flag) => "INTEGER",
            (Self::Postgres, Int) => "bigint",
            (_, Money) => "numeric(14,2)",
            (_, Text) => "text",
            (Self::Sqlite, Date | Stamp | Json) => "text",
            (Self::Postgres, Date) => "date",
            (Self::Postgres, Stamp) => "timestamptz",
            (Self::Postgres, Flag) => "boolean",
            (Self::Sqlite, Blob) => "blob",
            (Self::Postgres, Blob) => "bytea",
            (Self::Postgres, Json) => "jsonb",
        }
    }
}

impl Table {
    /// Rows that the table has at a size of `orders` sales orders.
    pub fn rows(&self, orders: u64) -> u64 {
        (self.per_mille * orders / 1000).clamp(self.rows_min, self.rows_max)
    }

    /// The names of its columns, separated by commas.
    pub fn column_list(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// `CREATE TABLE`. SQLite's carries the keys, as they cannot be added later.
    pub fn create(&self, dialect: Dialect) -> String {
        let mut lines = Vec::new();
        let only_id = self.key == ID;
        for column in self.columns {
            let mut line = format!("  {} {}", column.name, dialect.column_type(column.kind));
            if dialect == Dialect::Sqlite && only_id && column.kind == Id {
                line.push_str(" PRIMARY KEY AUTOINCREMENT");
            } else if !column.null {
                line.push_str(" NOT NULL");
            }
            if let (Dialect::Sqlite, Some(other)) = (dialect, column.refers) {
                line.push_str(&format!(" REFERENCES {other}"));
            }
            lines.push(line);
        }
        let mut end = ")";
        if dialect == Dialect::Sqlite && !only_id {
            lines.push(format!("  PRIMARY KEY ({})", self.key.join(", ")));
            end = ") WITHOUT ROWID";
        }
        format!(
            "CREATE TABLE {} (\n{}\n{end};\n",
            self.name,
            lines.join(",\n")
        )
    }

    /// Statements for its further indexes.
    pub fn create_indexes(&self) -> Vec<String> {
        let index = |column: &&str| {
            format!(
                "CREATE INDEX {0}_{column}_idx ON {0} ({column});",
                self.name
            )
        };
        self.indexes.iter().map(index).collect()
    }
}

/// Views, the same in both dialects.
pub const VIEWS: &str = "
CREATE VIEW sales_order_totals AS
  SELECT o.id, o.number, c.name AS customer, sum(l.quantity * l.unit_price) AS net
  FROM sales_orders o JOIN customers c ON c.id = o.customer_id
  JOIN sales_order_lines l ON l.sales_order_id = o.id GROUP BY o.id, o.number, c.name;
CREATE VIEW stock_on_hand AS
  SELECT i.id, i.sku, i.name, sum(s.on_hand) AS on_hand
  FROM items i JOIN stock_levels s ON s.item_id = i.id GROUP BY i.id, i.sku, i.name;
";

/// The trigger that keeps old prices, for SQLite.
pub const TRIGGER_SQLITE: &str = "
CREATE TRIGGER items_price_history AFTER UPDATE OF list_price ON items
WHEN old.list_price <> new.list_price
BEGIN
  INSERT INTO item_price_history (item_id, valid_from, price)
  VALUES (new.id, date(coalesce(new.updated_at, new.created_at)), new.list_price);
END;
";

/// The trigger that keeps old prices and a materialised view, for PostgreSQL.
pub const TRIGGER_POSTGRES: &str = "
CREATE FUNCTION keep_item_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO item_price_history (item_id, valid_from, price)
  VALUES (new.id, coalesce(new.updated_at, new.created_at)::date, new.list_price);
  RETURN NULL;
END $$;
CREATE TRIGGER items_price_history AFTER UPDATE OF list_price ON items FOR EACH ROW
  WHEN (old.list_price IS DISTINCT FROM new.list_price) EXECUTE FUNCTION keep_item_price();
CREATE MATERIALIZED VIEW report_monthly_sales AS
  SELECT date_trunc('month', ordered_at AT TIME ZONE 'UTC') AS month, count(*) AS orders, sum(total) AS total
  FROM sales_orders GROUP BY 1;
";
