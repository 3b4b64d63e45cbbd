//! What is in the tables: row number to values, for every table.
//!
//! Rows are numbered from 0 and depend only on the seed, their number and the world's size, so
//! tables can be made in any order and in parallel.

use std::fmt::Write as _;

use crate::rng::Rng;
use crate::schema::{ACCOUNTS, CATEGORIES, TABLES, TAX_RATES, Table, WAREHOUSES};
use crate::sink::RowSink;
use crate::words as w;

/// 2016-01-04 06:00:00 UTC, when the company opened.
const OPENED: i64 = 1_451_887_200;
/// Ten years, in seconds: how long the business of a fresh database spans.
const SPAN: u64 = 3650 * 86_400;

/// A sample company of a given seed and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// The same seed and size give the same rows.
    pub seed: u64,
    /// Sales orders in the first ten years; sets how densely time is filled.
    pub orders: u64,
    /// Sales orders now: more than `orders` once business went on.
    pub orders_now: u64,
}

/// Makes rows; holds the buffers that they are made in.
#[derive(Debug)]
pub struct Rows {
    world: World,
    text: String,
    blob: Vec<u8>,
}

/// Positions of tables that other tables' rows are derived from.
mod at {
    pub(super) const CUSTOMERS: usize = 0;
    pub(super) const ADDRESSES: usize = 1;
    pub(super) const SUPPLIERS: usize = 3;
    pub(super) const ITEMS: usize = 6;
    pub(super) const ORDERS: usize = 10;
    pub(super) const PURCHASES: usize = 12;
    pub(super) const SHIPMENTS: usize = 14;
    pub(super) const INVOICES: usize = 18;
    pub(super) const JOURNAL: usize = 22;
}

impl World {
    /// The world whose rows are about `megabytes` million bytes of COPY text.
    pub fn of_size(seed: u64, megabytes: u64) -> Self {
        let mut orders = 1000;
        // Numbers get longer as tables grow, so the second round measures longer rows.
        for _ in 0..3 {
            let world = Self {
                seed,
                orders,
                orders_now: orders,
            };
            let bytes = world.bytes_estimated();
            orders = (u128::from(megabytes) * 1_000_000 * u128::from(orders) / u128::from(bytes))
                .clamp(300, 1 << 40) as u64;
        }
        Self {
            seed,
            orders,
            orders_now: orders,
        }
    }

    /// About how many bytes all rows are as COPY text, from a sample of each table.
    fn bytes_estimated(self) -> u64 {
        const SAMPLE: u64 = 400;
        let mut rows = Rows::new(self);
        let mut total = 0;
        for (at, table) in TABLES.iter().enumerate() {
            let count = table.rows(self.orders);
            let sample = count.min(SAMPLE);
            let mut sink = crate::sink::CopyText::default();
            for i in 0..sample {
                rows.write(at, i * count / sample, &mut sink);
            }
            total += sink.bytes.len() as u64 * count / sample;
        }
        total
    }

    /// The time at which row `i` of `table` came about; ascends with `i`.
    fn second(self, table: &Table, i: u64, rng: &mut Rng) -> i64 {
        let step = SPAN * 1000 / (self.orders * table.per_mille.max(1));
        let second = u128::from(SPAN) * u128::from(i) * 1000
            / u128::from(self.orders * table.per_mille.max(1));
        OPENED + second as i64 + rng.below(step.max(1)) as i64
    }

    /// The parent (a row number) of row `i`, and which of its children the row is.
    fn parent(self, parent: usize, child: &Table, i: u64) -> (u64, u64) {
        let (ratio, per) = (TABLES[parent].per_mille, child.per_mille);
        let at = (i * ratio / per).min(TABLES[parent].rows(self.orders_now) - 1);
        (at, i - (at * per).div_ceil(ratio))
    }

    /// A row of `other` that existed when row `i` of `table` came about; as an id.
    fn earlier(self, other: usize, table: &Table, i: u64, rng: &mut Rng) -> i64 {
        let per = TABLES[other].per_mille;
        let rows = (i * per / table.per_mille).clamp(5, TABLES[other].rows(self.orders_now));
        1 + rng.below(rows) as i64
    }

    fn rng(self, table: usize, i: u64) -> Rng {
        Rng::of_row(self.seed, table as u64, i)
    }

    /// The customer (an id) of a sales order (a row number).
    fn customer_of_order(self, order: u64) -> i64 {
        let mut rng = self.rng(at::ORDERS, order);
        self.earlier(at::CUSTOMERS, &TABLES[at::ORDERS], order, &mut rng)
    }

    /// The first address (an id) of a customer (an id).
    fn address_of_customer(self, customer: i64) -> i64 {
        let (addresses, customers) = (
            TABLES[at::ADDRESSES].per_mille,
            TABLES[at::CUSTOMERS].per_mille,
        );
        ((customer as u64 - 1) * addresses).div_ceil(customers) as i64 + 1
    }
}

impl Rows {
    /// Rows of `world`.
    pub fn new(world: World) -> Self {
        Self {
            world,
            text: String::new(),
            blob: Vec::new(),
        }
    }

    fn put(&mut self, sink: &mut dyn RowSink, text: std::fmt::Arguments<'_>) {
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
        sink.text(&self.text);
    }

    /// A remark of 3 to `words` words; `percent` of the rows have one.
    fn remark(&mut self, sink: &mut dyn RowSink, rng: &mut Rng, percent: u64, words: u64) {
        if !rng.chance(percent) {
            return sink.null();
        }
        self.text.clear();
        for at in 0..3 + rng.below(words) {
            if at > 0 {
                self.text.push(if rng.chance(3) { '\n' } else { ' ' });
            }
            self.text.push_str(rng.pick(w::WORD));
        }
        sink.text(&self.text);
    }

    fn phone(&mut self, sink: &mut dyn RowSink, rng: &mut Rng, percent: u64) {
        if rng.chance(percent) {
            let (country, number) = (rng.between(1, 99), rng.between(1_000_000, 999_999_999));
            self.put(sink, format_args!("+{country} {number}"));
        } else {
            sink.null();
        }
    }

    /// Writes row `i` of table `table` (a position in [`TABLES`]) to `sink`.
    pub fn write(&mut self, table: usize, i: u64, sink: &mut dyn RowSink) {
        let mut rng = self.world.rng(table, i);
        let rng = &mut rng;
        match TABLES[table].name {
            "customers" | "customer_addresses" | "customer_contacts" => {
                self.customers(table, i, rng, sink);
            }
            "sales_orders"
            | "sales_order_lines"
            | "purchase_orders"
            | "purchase_order_lines"
            | "shipments"
            | "stock_movements" => self.transactions(table, i, rng, sink),
            "accounts" | "tax_rates" | "invoices" | "invoice_lines" | "payments"
            | "tax_entries" | "journal_entries" | "journal_lines" => {
                self.financial(table, i, rng, sink);
            }
            "documents" => self.documents(table, i, rng, sink),
            _ => self.items(table, i, rng, sink),
        }
        sink.end_row();
    }

    fn customers(&mut self, at: usize, i: u64, rng: &mut Rng, s: &mut dyn RowSink) {
        let (table, world, id) = (&TABLES[at], self.world, i as i64 + 1);
        s.int(id);
        match table.name {
            "customers" => {
                self.put(s, format_args!("C{id:07}"));
                let (a, b) = (rng.pick(w::COMPANY), rng.pick(w::FAMILY));
                let legal = rng.pick(w::LEGAL);
                self.put(s, format_args!("{a} {b} {legal}"));
                let (_, country) = w::CITY[rng.below(w::CITY.len() as u64) as usize];
                if rng.chance(80) {
                    let number = rng.between(100_000_000, 999_999_999);
                    self.put(s, format_args!("{country}{number}"));
                } else {
                    s.null();
                }
                self.put(
                    s,
                    format_args!("office{id}@example.{}", country.to_ascii_lowercase()),
                );
                self.phone(s, rng, 75);
                s.money(rng.between(0, 500) * 100_000);
                s.text(rng.pick(w::CURRENCY));
                s.int(world.address_of_customer(id));
                s.flag(rng.chance(93));
                self.remark(s, rng, 30, 25);
                let created = world.second(table, i, rng);
                s.stamp(created);
                if rng.chance(60) {
                    s.stamp(created + rng.between(60, 40_000_000))
                } else {
                    s.null()
                }
            }
            "customer_addresses" => {
                let (customer, which) = world.parent(at::CUSTOMERS, table, i);
                s.int(customer as i64 + 1);
                s.text(if which == 0 { "billing" } else { "delivery" });
                let (street, number) = (rng.pick(w::STREET), rng.between(1, 240));
                self.put(s, format_args!("{street} {number}"));
                let code = rng.between(1000, 99_999);
                self.put(s, format_args!("{code:05}"));
                let (city, country) = w::CITY[rng.below(w::CITY.len() as u64) as usize];
                s.text(city);
                s.text(country);
            }
            _ => {
                let (customer, _) = world.parent(at::CUSTOMERS, table, i);
                s.int(customer as i64 + 1);
                s.text(rng.pick(w::GIVEN));
                s.text(rng.pick(w::FAMILY));
                self.phone(s, rng, 60);
                self.put(s, format_args!("person{id}@example.com"));
                if rng.chance(15) {
                    s.date(rng.between(-9000, 13_000))
                } else {
                    s.null()
                }
            }
        }
    }

    fn items(&mut self, at: usize, i: u64, rng: &mut Rng, s: &mut dyn RowSink) {
        let (table, world, id) = (&TABLES[at], self.world, i as i64 + 1);
        if table.name != "stock_levels" {
            s.int(id);
        }
        match table.name {
            "suppliers" => {
                let (company, legal) = (rng.pick(w::COMPANY), rng.pick(w::LEGAL));
                self.put(s, format_args!("{company} {id} {legal}"));
                s.text(w::CITY[rng.below(w::CITY.len() as u64) as usize].1);
                s.int(rng.between(2, 90));
                if rng.chance(70) {
                    s.int(rng.between(1, 5))
                } else {
                    s.null()
                }
                s.stamp(world.second(table, i, rng));
            }
            "item_categories" => {
                if i < 6 {
                    s.null()
                } else {
                    s.int((i % 6) as i64 + 1)
                }
                let (material, product) = (
                    w::MATERIAL[i as usize % w::MATERIAL.len()],
                    w::PRODUCT[i as usize % w::PRODUCT.len()],
                );
                self.put(s, format_args!("{material} {product}s"));
            }
            "warehouses" => {
                let (city, country) = w::CITY[i as usize * 3 % w::CITY.len()];
                self.put(s, format_args!("WH{id:02}"));
                s.text(city);
                s.text(country);
                s.int(rng.between(10, 400) * 100);
            }
            "items" => {
                let (material, product, size) = (
                    rng.pick(w::MATERIAL),
                    rng.pick(w::PRODUCT),
                    rng.between(2, 900),
                );
                self.put(
                    s,
                    format_args!("{}-{id:06}", &material[..2].to_ascii_uppercase()),
                );
                self.put(s, format_args!("{material} {product} {size} mm"));
                self.remark(s, rng, 70, 40);
                s.int(1 + rng.below(CATEGORIES) as i64);
                s.money(rng.between(50, 400_000));
                if rng.chance(85) {
                    s.int(rng.between(5, 60_000))
                } else {
                    s.null()
                }
                let (pack, hazard) = (rng.between(1, 48), rng.chance(4));
                self.put(
                    s,
                    format_args!(
                        "{{\"pack\": {pack}, \"hazard\": {hazard}, \"material\": \"{material}\"}}"
                    ),
                );
                s.flag(rng.chance(95));
                let created = world.second(table, i, rng);
                s.stamp(created);
                if rng.chance(50) {
                    s.stamp(created + rng.between(60, 40_000_000))
                } else {
                    s.null()
                }
            }
            "item_price_history" => {
                s.int(world.earlier(at::ITEMS, table, i, rng));
                s.date(world.second(table, i, rng) / 86_400);
                s.money(rng.between(50, 400_000));
            }
            "supplier_items" => {
                s.int(world.earlier(at::SUPPLIERS, table, i, rng));
                s.int(world.earlier(at::ITEMS, table, i, rng));
                let code = rng.between(100_000, 9_999_999);
                self.put(s, format_args!("S-{code}"));
                s.money(rng.between(20, 300_000));
            }
            _ => {
                let (item, which) = world.parent(at::ITEMS, table, i);
                // Three apart, so that one item's warehouses differ.
                s.int(((item + 3 * which) % WAREHOUSES) as i64 + 1);
                s.int(item as i64 + 1);
                s.int(rng.skewed(5000) as i64);
                s.int(rng.skewed(40) as i64);
                let (aisle, shelf) = (rng.between(1, 40), rng.between(1, 99));
                if rng.chance(90) {
                    self.put(s, format_args!("{aisle:02}-{shelf:02}"))
                } else {
                    s.null()
                }
                if rng.chance(40) {
                    s.date(rng.between(19_000, 20_400))
                } else {
                    s.null()
                }
            }
        }
    }

    fn transactions(&mut self, at: usize, i: u64, rng: &mut Rng, s: &mut dyn RowSink) {
        let (table, world, id) = (&TABLES[at], self.world, i as i64 + 1);
        s.int(id);
        match table.name {
            "sales_orders" => {
                self.put(s, format_args!("SO-{id:08}"));
                let customer = world.earlier(at::CUSTOMERS, table, i, rng);
                s.int(customer);
                s.int(world.address_of_customer(customer));
                s.text(rng.pick(w::ORDER_STATUS));
                s.text(rng.pick(w::CURRENCY));
                s.money(500 + rng.skewed(2_000_000) as i64);
                let reference = rng.next() >> 36;
                if rng.chance(45) {
                    self.put(s, format_args!("PO {reference}"))
                } else {
                    s.null()
                }
                self.remark(s, rng, 12, 20);
                let ordered = world.second(table, i, rng);
                s.stamp(ordered);
                if rng.chance(80) {
                    s.stamp(ordered + rng.between(60, 900_000))
                } else {
                    s.null()
                }
            }
            "sales_order_lines" => {
                let (order, line) = world.parent(at::ORDERS, table, i);
                s.int(order as i64 + 1);
                s.int(line as i64 + 1);
                s.int(world.earlier(at::ITEMS, table, i, rng));
                s.int(1 + rng.skewed(200) as i64);
                s.money(rng.between(50, 400_000));
                s.int(if rng.chance(20) {
                    rng.between(1, 6) * 5
                } else {
                    0
                });
                self.remark(s, rng, 6, 8);
            }
            "purchase_orders" => {
                self.put(s, format_args!("PU-{id:07}"));
                s.int(world.earlier(at::SUPPLIERS, table, i, rng));
                s.int(1 + rng.below(WAREHOUSES) as i64);
                s.text(rng.pick(w::ORDER_STATUS));
                s.money(rng.between(10_000, 9_000_000));
                let ordered = world.second(table, i, rng);
                s.stamp(ordered);
                if rng.chance(90) {
                    s.date(ordered / 86_400 + rng.between(2, 90))
                } else {
                    s.null()
                }
            }
            "purchase_order_lines" => {
                let (order, _) = world.parent(at::PURCHASES, table, i);
                s.int(order as i64 + 1);
                s.int(world.earlier(at::ITEMS, table, i, rng));
                let quantity = 1 + rng.skewed(2000) as i64;
                s.int(quantity);
                s.int(if rng.chance(85) { quantity } else { 0 });
                s.money(rng.between(20, 300_000));
            }
            "shipments" => {
                let (order, _) = world.parent(at::ORDERS, table, i);
                s.int(order as i64 + 1);
                s.int(1 + rng.below(WAREHOUSES) as i64);
                s.text(rng.pick(w::CARRIER));
                let number = rng.next() >> 20;
                if rng.chance(92) {
                    self.put(s, format_args!("TN{number:014}"))
                } else {
                    s.null()
                }
                s.int(rng.between(100, 900_000));
                let shipped = world.second(table, i, rng) + 86_400;
                s.stamp(shipped);
                if rng.chance(94) {
                    s.stamp(shipped + rng.between(20_000, 600_000))
                } else {
                    s.null()
                }
            }
            _ => {
                s.int(world.earlier(at::ITEMS, table, i, rng));
                s.int(1 + rng.below(WAREHOUSES) as i64);
                let kind = rng.pick(w::MOVEMENT);
                s.text(kind);
                let quantity = 1 + rng.skewed(500) as i64;
                s.int(if kind == "issue" { -quantity } else { quantity });
                if kind == "issue" {
                    s.int(world.earlier(at::SHIPMENTS, table, i, rng))
                } else {
                    s.null()
                }
                s.stamp(world.second(table, i, rng));
                self.remark(s, rng, 5, 6);
            }
        }
    }

    fn financial(&mut self, at: usize, i: u64, rng: &mut Rng, s: &mut dyn RowSink) {
        const KINDS: [&str; 5] = ["asset", "liability", "equity", "income", "expense"];
        let (table, world, id) = (&TABLES[at], self.world, i as i64 + 1);
        if table.name != "tax_rates" {
            s.int(id);
        }
        match table.name {
            "accounts" => {
                let kind = (i % 5) as usize;
                if i < 5 {
                    s.null()
                } else {
                    s.int(kind as i64 + 1)
                }
                self.put(s, format_args!("{}{:03}", kind + 1, i / 5 * 10));
                let word = rng.pick(w::PRODUCT);
                self.put(s, format_args!("{} \u{2013} {word} {}", KINDS[kind], i / 5));
                s.text(KINDS[kind]);
            }
            "tax_rates" => {
                let (_, country) = w::CITY[i as usize % w::CITY.len()];
                self.put(s, format_args!("{country}-{i:02}"));
                s.text(country);
                s.int(rng.between(0, 27) * 100);
                s.date(rng.between(10_000, 16_000));
            }
            "invoices" => {
                let (order, _) = world.parent(at::ORDERS, table, i);
                self.put(s, format_args!("INV-{id:08}"));
                s.int(order as i64 + 1);
                s.int(world.customer_of_order(order));
                let rate = rng.below(TAX_RATES);
                let (_, country) = w::CITY[rate as usize % w::CITY.len()];
                self.put(s, format_args!("{country}-{rate:02}"));
                let net = 500 + rng.skewed(2_000_000) as i64;
                s.money(net);
                s.money(net * 19 / 100);
                let paid = rng.chance(88);
                s.text(if paid { "paid" } else { "open" });
                let day = world.second(table, i, rng) / 86_400 + 2;
                s.date(day);
                s.date(day + 30);
                if paid {
                    s.date(day + rng.between(1, 60))
                } else {
                    s.null()
                }
            }
            "invoice_lines" => {
                let (invoice, line) = world.parent(at::INVOICES, table, i);
                s.int(invoice as i64 + 1);
                s.int(line as i64 + 1);
                let (material, product, size) = (
                    rng.pick(w::MATERIAL),
                    rng.pick(w::PRODUCT),
                    rng.between(2, 900),
                );
                self.put(s, format_args!("{material} {product} {size} mm"));
                s.int(1 + rng.skewed(200) as i64);
                s.money(rng.between(50, 900_000));
            }
            "payments" => {
                let (invoice, _) = world.parent(at::INVOICES, table, i);
                s.int(invoice as i64 + 1);
                s.text(rng.pick(w::METHOD));
                s.money(500 + rng.skewed(2_000_000) as i64);
                s.stamp(world.second(table, i, rng) + 20 * 86_400);
                let (a, b) = (rng.next() >> 40, rng.next() >> 32);
                if rng.chance(80) {
                    self.put(s, format_args!("{a:X}/{b}"))
                } else {
                    s.null()
                }
            }
            "tax_entries" => {
                let (invoice, _) = world.parent(at::INVOICES, table, i);
                s.int(invoice as i64 + 1);
                self.period(s, world.second(table, i, rng));
                let base = 500 + rng.skewed(2_000_000) as i64;
                s.money(base);
                s.money(base * 19 / 100);
            }
            "journal_entries" => {
                let posted = world.second(table, i, rng);
                s.stamp(posted);
                self.period(s, posted);
                let (a, b) = (rng.pick(w::WORD), rng.pick(w::PRODUCT));
                self.put(s, format_args!("{a} {b} {id}"));
                if rng.chance(50) {
                    s.int(world.earlier(at::INVOICES, table, i, rng))
                } else {
                    s.null()
                }
            }
            _ => {
                let (entry, line) = world.parent(at::JOURNAL, table, i);
                s.int(entry as i64 + 1);
                s.int(1 + rng.below(ACCOUNTS) as i64);
                // Both sides of an entry come from the entry's own randomness, so that they balance.
                let amount = 100 + world.rng(at, entry | 1 << 63).skewed(3_000_000) as i64;
                let amount = if line < 2 { amount } else { 0 };
                if line == 1 {
                    s.null()
                } else {
                    s.money(amount)
                }
                if line == 1 { s.money(amount) } else { s.null() }
            }
        }
    }

    fn period(&mut self, s: &mut dyn RowSink, second: i64) {
        let text = crate::sink::date_text(second / 86_400);
        s.text(std::str::from_utf8(&text[..7]).unwrap_or_default());
    }

    fn documents(&mut self, at: usize, i: u64, rng: &mut Rng, s: &mut dyn RowSink) {
        let (table, world, id) = (&TABLES[at], self.world, i as i64 + 1);
        s.int(id);
        let of_invoice = rng.chance(60);
        if of_invoice {
            s.null()
        } else {
            s.int(world.earlier(at::CUSTOMERS, table, i, rng))
        }
        if of_invoice {
            s.int(world.earlier(at::INVOICES, table, i, rng))
        } else {
            s.null()
        }
        let pdf = rng.chance(60);
        let word = rng.pick(w::PRODUCT);
        self.put(
            s,
            format_args!("{word} {id}.{}", if pdf { "pdf" } else { "txt" }),
        );
        s.text(if pdf { "application/pdf" } else { "text/plain" });
        self.blob.clear();
        if pdf {
            self.blob.extend_from_slice(
                b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n1 0 obj\n<< /Filter /FlateDecode >>\nstream\n",
            );
            for _ in 0..60 + rng.below(900) {
                self.blob.extend_from_slice(&rng.next().to_le_bytes());
            }
            self.blob
                .extend_from_slice(b"\nendstream\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n");
        } else {
            for word in 0..40 + rng.below(700) {
                self.blob.extend_from_slice(rng.pick(w::WORD).as_bytes());
                self.blob.push(if word % 12 == 11 { b'\n' } else { b' ' });
            }
        }
        if rng.chance(97) {
            s.blob(&self.blob)
        } else {
            s.null()
        }
        s.stamp(world.second(table, i, rng));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schema::table;
    use crate::sink::CopyText;

    #[test]
    fn positions_name_the_tables_that_they_say() {
        for (position, name) in [
            (at::CUSTOMERS, "customers"),
            (at::ADDRESSES, "customer_addresses"),
            (at::SUPPLIERS, "suppliers"),
            (at::ITEMS, "items"),
            (at::ORDERS, "sales_orders"),
            (at::PURCHASES, "purchase_orders"),
            (at::SHIPMENTS, "shipments"),
            (at::INVOICES, "invoices"),
            (at::JOURNAL, "journal_entries"),
        ] {
            assert_eq!(table(name), Some(position), "{name}");
        }
    }

    #[test]
    fn every_row_has_a_value_for_every_column() {
        let world = World::of_size(3, 2);
        let mut rows = Rows::new(world);
        for (at, table) in TABLES.iter().enumerate() {
            for i in 0..table.rows(world.orders) {
                let mut sink = CopyText::default();
                rows.write(at, i, &mut sink);
                let text = String::from_utf8(sink.bytes).unwrap();
                assert_eq!(
                    text.matches('\t').count() + 1,
                    table.columns.len(),
                    "{}: {text}",
                    table.name
                );
            }
        }
    }

    #[test]
    fn the_size_asked_for_is_met_within_a_tenth() {
        for megabytes in [1, 3, 20] {
            let world = World::of_size(1, megabytes);
            let mut rows = Rows::new(world);
            let mut sink = CopyText::default();
            for (at, table) in TABLES.iter().enumerate() {
                for i in 0..table.rows(world.orders) {
                    rows.write(at, i, &mut sink);
                }
            }
            let ratio = sink.bytes.len() as f64 / (megabytes as f64 * 1e6);
            assert!((0.9..=1.1).contains(&ratio), "{megabytes} MB: {ratio}");
        }
    }
}
