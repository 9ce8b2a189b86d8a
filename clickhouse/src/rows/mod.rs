//! Rows as RowBinary, encoded from the column list the table has at run time.
//!
//! An [`Encoder`] is made once per table: it reads the table's columns, pairs each that Weir fills with the function
//! that writes it, and leaves every other column to its DEFAULT. Encoding a row is then one call per column, straight
//! into the caller's buffer.

mod batch;
mod event;
mod failed;

use std::sync::Arc;

use uuid::Uuid;

use crate::columns::{self, Column};
use crate::db::Db;
use crate::error::Error;
use crate::migrate;

pub use batch::{BatchRow, Batches};
pub use event::{EventRow, Events};
pub use failed::{FailedEvents, FailedRow};

/// Encoder of `events`.
pub type EventEncoder = Encoder<Events>;
/// Encoder of `failed_events`.
pub type FailedEncoder = Encoder<FailedEvents>;
/// Encoder of `batches`.
pub type BatchEncoder = Encoder<Batches>;

/// Writes one column's value of a row.
pub type Write<T> = for<'a> fn(&<T as Table>::Row<'a>, &mut Vec<u8>);

/// A table that rows are written to.
pub trait Table: 'static {
    /// Name of the table.
    const NAME: &'static str;
    /// What a row is made from.
    type Row<'a>;

    /// Returns every column that Weir fills: its name, its type as `system.columns` spells it, and its writer.
    fn fields() -> &'static [Field<Self>];
}

/// A column that Weir fills.
pub struct Field<T: Table + ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) data_type: &'static str,
    pub(crate) write: for<'a> fn(&T::Row<'a>, &mut Vec<u8>),
}

/// Encodes rows of one table.
pub struct Encoder<T: Table> {
    writers: Vec<Write<T>>,
    columns: Vec<Column>,
    list: Arc<str>,
}

impl<T: Table> Encoder<T> {
    /// Reads the table's columns and makes the encoder for them.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] when the table lacks a column, or has one of another type: migrations are missing.
    pub async fn load(db: &Db) -> Result<Self, Error> {
        let columns = columns::insertable(db, T::NAME).await?;
        match Self::new(columns) {
            Err(Error::Schema(message)) => Err(Error::Schema(migrate::explain(db, message).await)),
            made => made,
        }
    }

    /// Makes the encoder for a table with these insertable columns, in the order given.
    ///
    /// # Errors
    ///
    /// [`Error::Schema`] as [`Encoder::load`].
    pub fn new(columns: Vec<Column>) -> Result<Self, Error> {
        let mut lacking: Vec<_> = T::fields().iter().collect();
        let mut kept = Vec::new();
        let mut writers: Vec<Write<T>> = Vec::new();
        for column in columns {
            let Some(at) = lacking.iter().position(|field| field.name == column.name) else {
                continue;
            };
            let field = lacking.swap_remove(at);
            if !same_type(&column.data_type, field.data_type) {
                return Err(Error::Schema(format!(
                    "column {}.{} is of type {} instead of {}",
                    T::NAME,
                    column.name,
                    column.data_type,
                    field.data_type
                )));
            }
            writers.push(field.write);
            kept.push(column);
        }
        if !lacking.is_empty() {
            let mut names: Vec<_> = lacking.iter().map(|field| field.name).collect();
            names.sort_unstable();
            return Err(Error::Schema(format!(
                "table {} lacks the columns {}",
                T::NAME,
                names.join(", ")
            )));
        }
        let list = kept
            .iter()
            .map(|column| format!("`{}`", column.name))
            .collect::<Vec<_>>();
        Ok(Self {
            writers,
            columns: kept,
            list: list.join(", ").into(),
        })
    }

    /// Returns whether the table still has the columns the encoder was made for. To be asked before a row is blamed for
    /// an error: where a type was changed, every row is encoded wrongly.
    ///
    /// # Errors
    ///
    /// Those of a read, and of [`Encoder::new`].
    pub async fn is_current(&self, db: &Db) -> Result<bool, Error> {
        Ok(Self::new(columns::insertable(db, T::NAME).await?)?.columns == self.columns)
    }

    /// Appends one row.
    pub fn encode(&self, row: &T::Row<'_>, out: &mut Vec<u8>) {
        for write in &self.writers {
            write(row, out);
        }
    }

    /// Returns the columns of an encoded row as an SQL list, in order.
    pub fn column_list(&self) -> Arc<str> {
        Arc::clone(&self.list)
    }

    /// Returns the columns of an encoded row, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}

/// Compares types, except for what changes neither the values nor their encoding: how texts are stored, and the
/// parameters of JSON. Those are an operator's to tune.
fn same_type(found: &str, expected: &str) -> bool {
    let plain = |name: &str| {
        if name.starts_with("JSON") {
            "JSON".to_owned()
        } else {
            name.replace("LowCardinality(String)", "String")
        }
    };
    plain(found) == plain(expected)
}

/// Where a record came from, as the tables' first columns say it.
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a> {
    /// Epoch of the topic.
    pub stream: u32,
    /// Kafka topic.
    pub topic: &'a str,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
}

/// A column of numbers, texts or ids: how each is written.
pub(crate) trait Value {
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! little_endian {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
little_endian!(u32, u64);

/// Kafka's partitions, never negative.
impl Value for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        self.cast_unsigned().write(out);
    }
}

/// Kafka's offsets, never negative.
impl Value for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        self.cast_unsigned().write(out);
    }
}

impl Value for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Value for str {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::string(out, self);
    }
}

impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::string(out, self);
    }
}

impl Value for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::string(out, self);
    }
}

impl Value for Vec<String> {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::strings(out, self);
    }
}

impl Value for Uuid {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::uuid(out, *self);
    }
}

/// Milliseconds since the epoch, as `DateTime64(3)`.
pub(crate) struct Time(pub(crate) i64);

impl Value for Time {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::datetime64(out, self.0);
    }
}

/// A JSON object as text.
pub(crate) struct Object<'a>(pub(crate) &'a serde_json::Map<String, serde_json::Value>);

impl Value for Object<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        crate::rowbinary::string_with(out, |out| {
            // Writing a map with text keys into memory cannot fail.
            let written = serde_json::to_writer(out, self.0);
            debug_assert!(written.is_ok());
        });
    }
}

/// Pairs a column with the value of a row that fills it.
macro_rules! field {
    ($name:literal, $data_type:literal, |$row:ident| $value:expr) => {
        $crate::rows::Field {
            name: $name,
            data_type: $data_type,
            write: |$row, out| $crate::rows::Value::write(&$value, out),
        }
    };
}
pub(crate) use field;

#[cfg(test)]
mod tests;
