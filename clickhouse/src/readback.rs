//! Reading a batch's accepted rows back, in the bytes an insert takes.
//!
//! What the table holds of an open batch is the decision about it. So these rows can be sent again as they stand, with
//! the batch's token: views that a crash left out are filled, everything else stays.

use crate::columns::{Column, Layout};
use crate::db::{self, Db};
use crate::error::Error;
use crate::position::{of, offset};
use crate::rows::{Encoder, EventEncoder, Table};
use crate::source::{OffsetRange, SourcePartition};

/// Accepted rows of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredRows {
    /// Offsets of the rows, ascending.
    pub offsets: Vec<i64>,
    /// The rows as RowBinary in the encoder's columns, in the order of `offsets`.
    pub body: Vec<u8>,
}

/// Reads the rows of a range from `events` in the encoder's columns, ordered by offset.
///
/// # Errors
///
/// Those of a read.
pub async fn events(
    db: &Db,
    encoder: &EventEncoder,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<StoredRows, Error> {
    let sql = format!(
        "SELECT {} FROM events WHERE {{SOURCE}} \
         AND offset BETWEEN {{first:UInt64}} AND {{last:UInt64}} ORDER BY offset",
        encoder.column_list()
    );
    let query = of(db, &sql, source)
        .param("first", range.first)
        .param("last", range.last)
        .with_setting("output_format_binary_write_json_as_string", "1");
    let body = db::within(db::LOOKUP_TIMEOUT, async {
        query.fetch_bytes("RowBinary")?.collect().await
    })
    .await?;
    let offsets = Rows::new(encoder)?
        .split(&body)?
        .iter()
        .map(|row| row.offset)
        .collect();
    Ok(StoredRows {
        offsets,
        body: body.into(),
    })
}

/// Returns whether two bodies in the encoder's columns hold the same rows, in whatever order. JSON columns are not
/// compared: ClickHouse writes what it read in another spelling.
///
/// # Errors
///
/// [`Error::Answer`] when one is not RowBinary of these columns.
pub fn same_rows<T: Table>(encoder: &Encoder<T>, one: &[u8], other: &[u8]) -> Result<bool, Error> {
    let rows = Rows::new(encoder)?;
    let (mut one, mut other) = (rows.split(one)?, rows.split(other)?);
    one.sort_unstable();
    other.sort_unstable();
    Ok(one == other)
}

/// How to find the rows in a body.
struct Rows {
    /// Layout of each column, and whether its values can be compared.
    columns: Vec<(Layout, bool)>,
    offset: usize,
}

/// One row of a body: its offset, and its comparable values.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RowView<'a> {
    offset: i64,
    values: Vec<&'a [u8]>,
}

impl Rows {
    fn new<T: Table>(encoder: &Encoder<T>) -> Result<Self, Error> {
        let layout = |column: &Column| {
            Layout::of(&column.data_type)
                .map(|layout| (layout, !column.data_type.starts_with("JSON")))
                .ok_or_else(|| {
                    Error::Answer(format!(
                        "rows of type {} cannot be read back",
                        column.data_type
                    ))
                })
        };
        let columns = encoder.columns();
        Ok(Self {
            offset: columns
                .iter()
                .position(|column| column.name == "offset")
                .ok_or_else(|| Error::Answer("rows have no offset".into()))?,
            columns: columns.iter().map(layout).collect::<Result<_, _>>()?,
        })
    }

    fn split<'a>(&self, mut body: &'a [u8]) -> Result<Vec<RowView<'a>>, Error> {
        let mut rows = Vec::new();
        while !body.is_empty() {
            rows.push(
                self.row(&mut body)
                    .ok_or_else(|| Error::Answer("rows are cut short".into()))??,
            );
        }
        Ok(rows)
    }

    fn row<'a>(&self, body: &mut &'a [u8]) -> Option<Result<RowView<'a>, Error>> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut at = 0;
        for (position, (layout, comparable)) in self.columns.iter().enumerate() {
            let before = *body;
            layout.skip(body)?;
            let value = &before[..before.len() - body.len()];
            if position == self.offset {
                at = u64::from_le_bytes(value.try_into().ok()?);
            }
            if *comparable {
                values.push(value);
            }
        }
        Some(offset(at).map(|offset| RowView { offset, values }))
    }
}
