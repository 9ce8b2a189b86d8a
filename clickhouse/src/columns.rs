//! The columns a table has at run time, and the layout of their values in RowBinary.

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db};
use crate::error::Error;
use crate::rowbinary::{read_bytes, read_string, read_varint};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type as `system.columns` spells it.
    pub data_type: String,
}

/// Returns the columns of a table that an INSERT may name, in the table's order.
///
/// # Errors
///
/// [`Error::Schema`] when there is no such table; else those of a read.
pub async fn insertable(db: &Db, table: &str) -> Result<Vec<Column>, Error> {
    let query = db
        .lookup(
            "SELECT name, type AS data_type FROM system.columns \
             WHERE database = {database:String} AND table = {table:String} \
             AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') ORDER BY position",
        )
        .param("database", &db.config().database)
        .param("table", table);
    let columns: Vec<Column> = db::rows(query).await?;
    if columns.is_empty() {
        return Err(Error::Schema(format!("there is no table {table}")));
    }
    Ok(columns)
}

/// How the values of a type follow each other in RowBinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// So many bytes.
    Fixed(usize),
    /// A length, then so many bytes.
    Text,
    /// A number, then so many values.
    Array(Box<Layout>),
    /// One value after another.
    Tuple(Vec<Layout>),
}

impl Layout {
    /// Returns the layout of a type as `system.columns` spells it; `None` for one that Weir's tables do not use.
    pub(crate) fn of(data_type: &str) -> Option<Self> {
        let (name, inner) = match data_type.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')')?),
            None => (data_type, ""),
        };
        Some(match name {
            "Bool" | "UInt8" | "Int8" => Self::Fixed(1),
            "UInt16" | "Int16" | "Date" => Self::Fixed(2),
            "UInt32" | "Int32" | "Float32" | "DateTime" => Self::Fixed(4),
            "UInt64" | "Int64" | "Float64" | "DateTime64" => Self::Fixed(8),
            "UUID" => Self::Fixed(16),
            // JSON travels as text, see `insert` and `readback`.
            "String" | "JSON" => Self::Text,
            "LowCardinality" => Self::of(inner)?,
            "Array" => Self::Array(Box::new(Self::of(inner)?)),
            "Tuple" => Self::Tuple(
                inner
                    .split(", ")
                    .map(|element| Self::of(element.split_once(' ').map_or(element, |(_, of)| of)))
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        })
    }

    /// Moves `input` behind one value; `None` when it is cut short.
    pub(crate) fn skip(&self, input: &mut &[u8]) -> Option<()> {
        match self {
            Self::Fixed(bytes) => {
                read_bytes(input, *bytes)?;
            }
            Self::Text => {
                read_string(input)?;
            }
            Self::Array(of) => {
                for _ in 0..read_varint(input)? {
                    of.skip(input)?;
                }
            }
            Self::Tuple(elements) => {
                for element in elements {
                    element.skip(input)?;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_follow_the_spelling_of_types() {
        let text = || Layout::Text;
        assert_eq!(Layout::of("DateTime64(3, 'UTC')"), Some(Layout::Fixed(8)));
        assert_eq!(Layout::of("LowCardinality(String)"), Some(text()));
        assert_eq!(Layout::of("JSON(max_dynamic_paths=256)"), Some(text()));
        assert_eq!(
            Layout::of("Array(Tuple(path String, keyword String))"),
            Some(Layout::Array(Box::new(Layout::Tuple(vec![text(), text()]))))
        );
        assert_eq!(
            Layout::of("AggregateFunction(uniqCombined64, UInt64)"),
            None
        );
    }

    #[test]
    fn a_value_cut_short_is_not_skipped() {
        let array = Layout::Array(Box::new(Layout::Text));
        assert_eq!(array.skip(&mut &[2, 1, b'a', 1, b'b'][..]), Some(()));
        assert_eq!(array.skip(&mut &[2, 1, b'a', 1][..]), None);
    }
}
