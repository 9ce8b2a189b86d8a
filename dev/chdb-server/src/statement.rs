//! Runs one statement, on a thread that may block.

use std::sync::Arc;

use bytes::Bytes;

use crate::admission::{Id, Place};
use crate::answer::{Answer, Stop};
use crate::body::Decoded;
use crate::engine::{Engine, SessionOptions};
use crate::exception::{Code, Exception};
use crate::ffi::{Session, Statement};
use crate::formats::{self, Joining};
use crate::request::{Request, User};
use crate::sql;

/// How much of a body is looked at for the place where an INSERT's rows begin; above a server's `max_query_size`.
const STATEMENT_BYTES: usize = 1 << 20;

/// One body is one block is one part, unless the client asks for something else. A server would cut at 1,048,449 rows.
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("max_insert_block_size", "4000000000"),
    ("min_insert_block_size_rows", "4000000000"),
    ("min_insert_block_size_bytes", "1000000000000"),
];

/// A statement that was let in.
pub(crate) struct Job {
    /// What is asked for.
    pub(crate) request: Request,
    /// The body, whole and unread.
    pub(crate) body: Decoded,
    /// Where the answer goes.
    pub(crate) answer: Answer,
    /// Kept until the statement is over.
    pub(crate) id: Id,
    /// Kept until the statement is over.
    pub(crate) place: Place,
}

impl Job {
    /// Runs the statement to its end, whatever that is.
    pub(crate) fn run(self, engine: &Arc<Engine>) {
        let Self {
            request,
            mut body,
            mut answer,
            id,
            place,
        } = self;
        let outcome = execute(engine, &request, &mut body, &mut answer);
        // The body's memory, the id and the place are free before the client learns of the end and asks for more.
        drop((body, id, place));
        match outcome {
            Ok(()) => answer.finish(),
            Err(Stop::Failed(exception)) => {
                tracing::debug!(query_id = request.query_id, code = exception.code, "failed");
                answer.fail(&exception);
            }
            Err(Stop::Gone) => tracing::debug!(query_id = request.query_id, "client gone"),
        }
    }
}

fn execute(
    engine: &Engine,
    request: &Request,
    body: &mut Decoded,
    answer: &mut Answer,
) -> Result<(), Stop> {
    let mut text = request.query.clone();
    let mut parsed = None;
    if !text.is_empty() {
        text.push(b'\n');
        parsed = insert_of(&text);
    }
    while parsed.is_none() {
        let Some(piece) = body.next()? else { break };
        text.extend_from_slice(&piece);
        // Rows without number may follow: look as early as there can be a whole statement, and not at every piece.
        if text.len() >= STATEMENT_BYTES {
            break;
        }
    }
    if answer.is_unwanted() {
        return Err(Stop::Gone);
    }
    match parsed.or_else(|| insert_of(&text)) {
        Some(parsed) => insert(engine, request, (&text, &parsed), body, answer),
        None => {
            while let Some(piece) = body.next()? {
                text.extend_from_slice(&piece);
            }
            query(engine, request, &text, answer)
        }
    }
}

fn insert_of(text: &[u8]) -> Option<sql::Insert> {
    match sql::analyse(text) {
        sql::Statement::Insert(insert) => Some(insert),
        sql::Statement::Query(_) => None,
    }
}

fn open(
    engine: &Engine,
    request: &Request,
    own_settings: &[(&'static str, &str)],
) -> Result<Session, Exception> {
    let own = own_settings.iter().copied();
    let own = own.chain([(sql::ID_SETTING, request.query_id.as_str())]);
    engine.session(&SessionOptions {
        database: &request.database,
        own_settings: own.map(|(name, value)| (name, value.to_owned())).collect(),
        settings: &request.settings,
        readonly: request.readonly,
    })
}

fn failed(message: impl AsRef<str>) -> Stop {
    Stop::Failed(Exception::from_engine(message.as_ref()))
}

fn insert(
    engine: &Engine,
    request: &Request,
    (text, parsed): (&[u8], &sql::Insert),
    body: &mut Decoded,
    answer: &mut Answer,
) -> Result<(), Stop> {
    let mut session = open(engine, request, INSERT_SETTINGS)?;
    let statement = Statement {
        sql: text.get(..parsed.head_end).unwrap_or_default(),
        format: &parsed.format,
        parameters: &request.parameters,
    };
    let mut insert = session.insert(statement).map_err(failed)?;
    let mut wants_more = insert.append(text.get(parsed.data_start..).unwrap_or_default());
    while wants_more {
        let Some(piece): Option<Bytes> = body.next()? else {
            break;
        };
        wants_more = insert.append(&piece);
    }
    answer.count(insert.finish().map_err(failed)?);
    Ok(())
}

fn query(engine: &Engine, request: &Request, text: &[u8], answer: &mut Answer) -> Result<(), Stop> {
    let facts = match sql::analyse(text) {
        sql::Statement::Query(facts) => facts,
        sql::Statement::Insert(_) => sql::Query::default(),
    };
    refuse(request, &facts)?;
    let text = sql::with_query_ids(text);
    let format = facts.format.as_deref().unwrap_or(&request.format);
    let statement = Statement {
        sql: &text,
        format: &request.format,
        parameters: &request.parameters,
    };
    let mut session = open(engine, request, &[])?;
    if facts.is_select {
        answer.set_format(format);
        let joining = match formats::joining(format) {
            // JSONEachRow with brackets around it.
            _ if sets_array_of_rows(request, &text) => Joining::Impossible,
            joining => joining,
        };
        if joining != Joining::Impossible && stream(&mut session, statement, joining, answer)? {
            return Ok(());
        }
    }
    let output = session.query(statement).map_err(failed)?;
    if !output.data().is_empty() {
        answer.set_format(format);
    }
    answer.count(output.counts());
    answer.write(output.data())
}

/// Runs a SELECT piece by piece. False if the engine cannot: then it was not run.
fn stream(
    session: &mut Session,
    statement: Statement<'_>,
    joining: Joining,
    answer: &mut Answer,
) -> Result<bool, Stop> {
    let mut rows = match session.stream(statement) {
        Ok(rows) => rows,
        Err(message) if message.contains("Streaming query is not supported") => return Ok(false),
        Err(message) => return Err(failed(message)),
    };
    let mut first: Option<Vec<u8>> = None;
    while let Some(output) = rows.next().map_err(failed)? {
        answer.count(output.counts());
        let data = output.data();
        match (joining, &first) {
            (Joining::Header(_), Some(header)) => {
                answer.write(data.strip_prefix(header.as_slice()).unwrap_or(data))?;
            }
            (Joining::Header(header), None) => {
                first = Some(data[..header.length(data)].to_vec());
                answer.write(data)?;
            }
            (Joining::Plain | Joining::Impossible, _) => answer.write(data)?,
        }
    }
    Ok(true)
}

fn sets_array_of_rows(request: &Request, text: &[u8]) -> bool {
    const SETTING: &str = "output_format_json_array_of_rows";
    request.is_set(SETTING)
        || text
            .windows(SETTING.len())
            .any(|part| part == SETTING.as_bytes())
}

/// Refuses what a server refuses and the engine, which thinks it is a command line client, does not.
fn refuse(request: &Request, facts: &sql::Query) -> Result<(), Exception> {
    if facts.is_empty {
        return Err(Exception::new(Code::SyntaxError, "Empty query"));
    }
    if facts.is_followed {
        let text = "Syntax error (Multi-statements are not allowed)";
        return Err(Exception::new(Code::SyntaxError, text));
    }
    if facts.writes_file {
        let text = "INTO OUTFILE is not allowed";
        return Err(Exception::new(Code::IntoOutfileNotAllowed, text));
    }
    if facts.reads_file {
        let text = "FROM INFILE is for the command line client";
        return Err(Exception::new(Code::SupportIsDisabled, text));
    }
    if facts.reads_input {
        let text = "This server has no table function 'input'; name the columns in the INSERT";
        return Err(Exception::new(Code::NotImplemented, text));
    }
    if facts.reaches_out && request.user == User::Reader {
        let text = "Cannot read files or open connections in readonly mode";
        return Err(Exception::new(Code::Readonly, text));
    }
    if facts.is_kill && request.user == User::Reader {
        let text = "Not enough privileges to end queries";
        return Err(Exception::new(Code::AccessDenied, text));
    }
    Ok(())
}
