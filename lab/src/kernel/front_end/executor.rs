//! Executes cells, one after the other.

use super::errors::{CellError, broken_items, in_our_words};
use super::input::Asking;
use super::loading::{Evcxr, LEARN, LOAD, Loading};
use super::lock;
use super::outputs::{Cell, Outputs};
use super::session::Session;
use crate::kernel::BuildFolder;
use crate::kernel::cell_code::NOTHING;
use crate::kernel::implementations::{Implementations, Rewritten};
use crate::kernel::pipes::{Events, Input};
use crate::kernel::source::{Item, Parsed};
use anyhow::Result;
use evcxr::{CommandContext, Error, EvalOutputs};
use jupyter_protocol::{
    ExecuteInput, ExecuteReply, ExecuteRequest, ExecutionCount, ExpressionResult, JupyterMessage,
    JupyterMessageContent as Content, ReplyError, ReplyStatus,
};
use kernel_helpers::cell::Event;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a running cell is looked after.
const TICK: Duration = Duration::from_millis(50);

/// What executes cells.
pub struct Executor {
    session: Arc<Session>,
    evcxr: Loading,
    outputs: Arc<Outputs>,
    events: Events,
    asking: Asking,
    folder: BuildFolder,
    /// The number of the last cell.
    count: usize,
    /// Whether variables that evcxr believes in may be gone.
    has_gaps: bool,
    implementations: Implementations,
    /// The types that cells have defined: name and text.
    definitions: BTreeMap<String, String>,
}

impl Executor {
    pub fn new(
        session: Arc<Session>,
        loading: JoinHandle<Result<Evcxr>>,
        outputs: Arc<Outputs>,
        events: Events,
        input: Input,
        folder: BuildFolder,
    ) -> Self {
        let asking = Asking::new(input, folder.input_file());
        let (implementations, definitions) = Default::default();
        let evcxr = Loading::by(loading);
        let (count, has_gaps) = (0, false);
        Executor {
            session,
            evcxr,
            outputs,
            events,
            asking,
            folder,
            count,
            has_gaps,
            implementations,
            definitions,
        }
    }

    /// Executes the cells that come, for ever.
    pub fn run(mut self) -> Result<()> {
        loop {
            let session = Arc::clone(&self.session);
            let request = session.next_cell(|| self.learn());
            if let Content::ExecuteRequest(asked) = request.content.clone() {
                self.answer(&request, &asked)?;
            }
        }
    }

    /// Has rust-analyzer learn the helpers' types, once, while the user does something else.
    fn learn(&mut self) {
        // While it is loaded, a cell that comes is to be announced at once; the loading thread learns in that case.
        if matches!(self.evcxr, Loading::Done(_)) && !self.session.has_learned.swap(true, Ordering::Relaxed) {
            // Of no use if it fails.
            let _ = self.evcxr().execute(LEARN);
            self.events.forget();
        }
    }

    /// evcxr, loaded when a cell is executed.
    fn evcxr(&self) -> MutexGuard<'_, CommandContext> {
        lock(self.evcxr.done())
    }

    fn answer(&mut self, request: &JupyterMessage, asked: &ExecuteRequest) -> Result<()> {
        let counts = asked.store_history && !asked.silent;
        self.session.cell_begins(request);
        if counts {
            self.count += 1;
            lock(&self.session.history).add(self.count, &asked.code);
        }
        let execution_count = ExecutionCount::new(self.count);
        if counts {
            self.session
                .wire
                .publish(ExecuteInput { code: asked.code.clone(), execution_count }, Some(request));
        }
        let loaded = self.evcxr.wait();
        let cell = Cell { request: request.clone(), number: self.count, shows_value: !asked.silent };
        self.outputs.begin(cell)?;
        self.asking.cell_starts(asked.allow_stdin, &self.session);
        let done = match loaded {
            Ok(()) => self.execute(&asked.code, request)?,
            Err(error) => Err(error),
        };
        self.outputs.finish()?;
        let failed = done.is_err();
        let reply = match done {
            Ok(()) => ExecuteReply {
                execution_count,
                user_expressions: Some(not_evaluated(asked)),
                ..Default::default()
            },
            Err(error) => {
                self.session.wire.publish(error.output(), Some(request));
                let error = Some(Box::new(ReplyError::from(error)));
                let user_expressions = Some(HashMap::new());
                ExecuteReply {
                    status: ReplyStatus::Error,
                    execution_count,
                    error,
                    user_expressions,
                    ..Default::default()
                }
            }
        };
        if failed && asked.stop_on_error {
            self.session.abort_waiting();
        }
        self.session.cell_ends(request, reply);
        if std::mem::take(&mut self.has_gaps) {
            self.forget_what_is_gone();
        }
        Ok(())
    }

    fn execute(&mut self, code: &str, request: &JupyterMessage) -> Result<Result<(), CellError>> {
        let table = ["vars()", "vars();", ":vars"].contains(&code.trim()).then(|| self.table_of_variables());
        let code = table.as_deref().unwrap_or(code);
        if has_command(code, ":toolchain") {
            let reason =
                "the helpers are compiled by one compiler: choose another with `rustup default` and restart";
            return Ok(Err(CellError::new("Unsupported", reason.to_owned())));
        }
        let parsed = Parsed::new(code);
        let changed = parsed.definitions().into_iter().any(|definition| {
            self.definitions.get(&definition.name).is_some_and(|known| *known != definition.text)
        });
        if changed {
            // The variables of the old type have to be gone before the cell makes new ones of their names.
            if let Err(error) = self.define_anew(parsed.items_alone(), request)? {
                return Ok(Err(error));
            }
            self.forget_what_is_gone();
            if !parsed.has_statements() {
                return Ok(Ok(()));
            }
        }
        Ok(self.evaluate(code, request)?.map_err(|failure| failure.error))
    }

    /// Compiles items in place of others of their names. Functions and `impl` blocks of earlier cells that do not fit them are
    /// dropped, as neither could be changed before the other.
    fn define_anew(&mut self, mut items: String, request: &JupyterMessage) -> Result<Result<(), CellError>> {
        let mut dropped = BTreeSet::new();
        loop {
            let failure = match self.evaluate(&items, request)? {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let broken: Vec<Item> =
                failure.broken.into_iter().filter(|item| !dropped.contains(item)).collect();
            if broken.is_empty() {
                return Ok(Err(failure.error));
            }
            for item in broken {
                items += &format!("\nconst {}: () = ();", item.name);
                dropped.insert(item);
            }
        }
        for item in &dropped {
            self.implementations.forget(&item.name);
            self.outputs.note(&format!(
                "`{}` is dropped, as it does not fit what was defined anew: run its cell again.\n",
                item.title
            ))?;
        }
        Ok(Ok(()))
    }

    /// Compiles and runs code, and knows afterwards what it has defined.
    fn evaluate(&mut self, code: &str, request: &JupyterMessage) -> Result<Result<(), Failure>> {
        let parsed = Parsed::new(code);
        let mut implementations = self.implementations.clone();
        let rewritten = implementations.rewrite(&parsed);
        let done = self.run_rewritten(&rewritten, code, request)?;
        // A cell that fails while it runs has been compiled, but evcxr keeps its definitions only if it took it for run.
        if done.as_ref().err().is_none_or(|failure| failure.ran) {
            self.implementations = implementations;
            let new = parsed.definitions().into_iter().map(|definition| (definition.name, definition.text));
            self.definitions.extend(new);
        }
        self.has_gaps |= done.as_ref().err().is_some_and(|failure| failure.ran);
        if has_command(code, ":clear") {
            self.start_afresh();
        }
        Ok(done)
    }

    /// Loads again what `:clear` has cleared.
    fn start_afresh(&mut self) {
        (self.implementations, self.definitions) = Default::default();
        if let Err(error) = self.evcxr().execute(LOAD) {
            eprintln!("error: {error}");
        }
        self.events.forget();
    }

    fn run_rewritten(
        &mut self,
        rewritten: &Rewritten,
        cell: &str,
        request: &JupyterMessage,
    ) -> Result<Result<(), Failure>> {
        let lost = self.what_would_be_lost();
        let (mut compiled, mut code) = self.compile(&rewritten.code)?;
        if matches!(compiled, Err(Error::SubprocessTerminated(_))) {
            // It had ended before the cell ran, so the cell can run in the next.
            self.outputs.note(&format!("The process that runs the cells had ended. {lost}\n"))?;
            (compiled, code) = self.compile(&rewritten.code)?;
        }
        let failed = |name: &str, message: String| {
            Ok(Err(Failure { error: CellError::new(name, message), ran: false, broken: Vec::new() }))
        };
        match compiled {
            Ok(shown) => {
                self.show(shown, request);
                let error = self.follow(cell, request)?;
                Ok(error.map_or(Ok(()), |error| Err(Failure { error, ran: true, broken: Vec::new() })))
            }
            Err(Error::CompilationErrors(errors)) => {
                let error = CellError::of_compiler(&errors, rewritten, cell, &code);
                Ok(Err(Failure { error, ran: false, broken: broken_items(&errors, &code) }))
            }
            Err(Error::SubprocessTerminated(message)) => failed("ProcessDied", message),
            Err(error) => failed("Error", in_our_words(&error.to_string())),
        }
    }

    /// What evcxr says of code that it compiles and starts, and what it has compiled.
    fn compile(&mut self, code: &str) -> Result<(Result<EvalOutputs, Error>, String)> {
        // What an earlier process left.
        self.events.wait(Duration::ZERO)?;
        let mut context = self.evcxr();
        let compiled = context.execute(code);
        // Before a completion writes another.
        Ok((compiled, context.last_source().unwrap_or_default()))
    }

    /// What commands such as `:help` show.
    fn show(&self, outputs: EvalOutputs, request: &JupyterMessage) {
        let data: serde_json::Map<_, _> = outputs
            .content_by_mime_type
            .into_iter()
            .map(|(form, content)| (form, json!(content.trim_end())))
            .collect();
        if !data.is_empty() {
            let data = super::outputs::media(data);
            let display =
                jupyter_protocol::DisplayData { data, metadata: Default::default(), transient: None };
            self.session.wire.publish(display, Some(request));
        }
    }

    /// Waits until the cell has ended, and returns how it failed.
    fn follow(&mut self, cell: &str, request: &JupyterMessage) -> Result<Option<CellError>> {
        let (mut runs, mut error) = (false, None);
        loop {
            let mut ended = false;
            for event in self.events.wait(if runs { TICK } else { Duration::ZERO })? {
                match event {
                    Event::Accepted => {
                        runs = true;
                        lock(&self.session.button).code_runs(true);
                    }
                    Event::Ended => {
                        ended = runs;
                        lock(&self.session.button).code_runs(false);
                    }
                    Event::Failed { name, message, line } => {
                        error = Some(self.place(CellError::new(short_type(&name), message), line, cell));
                    }
                    Event::Panicked { message, line } => {
                        error = Some(self.place(CellError::new("Panic", message), line, cell));
                    }
                }
            }
            if ended || !runs {
                return Ok(error);
            }
            if let Some(status) = self.exit_status() {
                return Ok(Some(self.explain_death(status)));
            }
            self.asking.look(&self.session, request)?;
        }
    }

    fn place(&self, error: CellError, line: u32, cell: &str) -> CellError {
        // As compiled: evcxr's own file may hold what a completion analyzes.
        let generated = fs::read_to_string(self.folder.compiled_code()).unwrap_or_default();
        error.in_line(line, &generated, cell)
    }

    fn exit_status(&self) -> Option<ExitStatus> {
        let process = self.session.process.get()?;
        lock(process).try_wait().ok().flatten()
    }

    fn explain_death(&self, status: ExitStatus) -> CellError {
        let lost = self.what_would_be_lost();
        if lock(&self.session.button).was_pressed_twice() {
            CellError::new("Stopped", "the cell was ended by the second press of the stop button".to_owned())
                .with_note(&lost)
        } else {
            CellError::new("ProcessDied", format!("the process that runs the cells has ended ({status})"))
                .with_note(&lost)
        }
    }

    /// What the end of the cells' process means for the user.
    fn what_would_be_lost(&self) -> String {
        let names: Vec<String> = self.variables().into_iter().map(|(name, _)| name).collect();
        match names.len() {
            0 => "There were no variables.".to_owned(),
            _ => {
                format!(
                    "All variables are lost ({}): run the cells that define them again.",
                    names.join(", ")
                )
            }
        }
    }

    /// Has evcxr find out which variables are gone, and start the cells' process again if it is.
    fn forget_what_is_gone(&mut self) {
        // It says nothing that the user has not been told.
        let _ = self.evcxr().execute(NOTHING);
        self.events.forget();
    }

    /// The variables of all cells, with their types.
    fn variables(&self) -> Vec<(String, String)> {
        let context = self.evcxr();
        let all = context.variables_and_types().filter(|(name, _)| !name.starts_with('_'));
        let mut all: Vec<_> = all.map(|(name, r#type)| (name.to_owned(), r#type.to_owned())).collect();
        all.sort();
        all
    }

    /// The code of a cell that shows all variables.
    fn table_of_variables(&self) -> String {
        let rows: Vec<String> = self
            .variables()
            .into_iter()
            .map(|(name, r#type)| format!("kernel_helpers::variable!({name:?}, {:?}, {name})", r#type))
            .collect();
        format!("kernel_helpers::variables::variables(&[{}])", rows.join(", "))
    }
}

/// Whether one of evcxr's commands is in a cell.
fn has_command(code: &str, command: &str) -> bool {
    code.lines().any(|line| line.split_whitespace().next() == Some(command))
}

/// How a cell failed, and whether it did so while it ran.
struct Failure {
    error: CellError,
    ran: bool,
    /// The items of earlier cells that do not compile with it.
    broken: Vec<Item>,
}

/// A type's name without its path: `ParseIntError`.
fn short_type(name: &str) -> &str {
    let without_parameters = name.split('<').next().unwrap_or(name);
    without_parameters.rsplit("::").next().unwrap_or(without_parameters)
}

/// Rust has no expressions that could be evaluated beside a cell.
fn not_evaluated(asked: &ExecuteRequest) -> HashMap<String, ExpressionResult> {
    let error = || ExpressionResult::Error {
        ename: "Unsupported".to_owned(),
        evalue: "this kernel evaluates no user expressions".to_owned(),
        traceback: Vec::new(),
    };
    let names = asked.user_expressions.iter().flat_map(|expressions| expressions.keys());
    names.map(|name| (name.clone(), error())).collect()
}

#[cfg(test)]
mod tests {
    use super::short_type;

    #[test]
    fn types_lose_their_paths() {
        for (name, short) in [
            ("core::num::error::ParseIntError", "ParseIntError"),
            ("alloc::string::String", "String"),
            ("&str", "&str"),
            ("a::Error<b::C>", "Error"),
        ] {
            assert_eq!(short_type(name), short);
        }
    }
}
