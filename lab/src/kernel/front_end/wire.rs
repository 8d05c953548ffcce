//! Jupyter's five sockets.
//!
//! They live on a thread of their own, which never waits for anything but them: heartbeats are answered and stop
//! requests heard whatever a cell does.

use anyhow::{Context, Result};
use jupyter_protocol::{ConnectionInfo, Header, JupyterMessage, JupyterMessageContent};
use jupyter_zmq_client::connection::{
    IoPubWelcome, KernelIoPubXPubConnection, RawMessage, RouterRecvConnection, RouterSendConnection,
    SubscriptionEvent,
};
use jupyter_zmq_client::{
    create_kernel_control_connection, create_kernel_heartbeat_connection,
    create_kernel_iopub_xpub_connection, create_kernel_shell_connection, create_kernel_stdin_connection,
};
use ring::hmac::Key;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use zeromq::{SocketRecv, ZmqMessage};

/// A client that does not read what it subscribed to holds up the others so long at most for each message.
const SLOW_CLIENT: Duration = Duration::from_secs(5);

/// The way to the clients; all clones are the same.
#[derive(Clone)]
pub struct Wire {
    shell: UnboundedSender<JupyterMessage>,
    control: UnboundedSender<JupyterMessage>,
    stdin: UnboundedSender<JupyterMessage>,
    iopub: UnboundedSender<JupyterMessage>,
}

/// What is done with a client's message. None of these may wait.
pub trait Requests: Send + Sync + 'static {
    /// On the shell channel.
    fn shell(&self, request: JupyterMessage);
    /// On the control channel.
    fn control(&self, request: JupyterMessage);
    /// An answer to a request for input.
    fn input(&self, reply: JupyterMessage);
}

impl Wire {
    /// Answers a request on the shell channel.
    pub fn reply(&self, content: impl Into<JupyterMessageContent>, request: &JupyterMessage) {
        send(&self.shell, JupyterMessage::new(content, Some(request)));
    }

    /// Answers a request on the control channel.
    pub fn reply_on_control(&self, content: impl Into<JupyterMessageContent>, request: &JupyterMessage) {
        send(&self.control, JupyterMessage::new(content, Some(request)));
    }

    /// Asks the client of a request for input.
    pub fn ask(&self, content: impl Into<JupyterMessageContent>, request: &JupyterMessage) {
        send(&self.stdin, JupyterMessage::new(content, Some(request)));
    }

    /// Tells all clients.
    pub fn publish(&self, content: impl Into<JupyterMessageContent>, request: Option<&JupyterMessage>) {
        let message = JupyterMessage::new(content, request);
        // The first frame is the topic.
        let topic = message.header.msg_type.clone();
        send(&self.iopub, message.with_zmq_identities(vec![topic.into()]));
    }
}

/// When the sockets are gone, so is this process soon.
fn send(queue: &UnboundedSender<JupyterMessage>, message: JupyterMessage) {
    let _ = queue.send(message);
}

/// Messages on their way from [`Wire`] to the sockets.
struct Outgoing {
    shell: UnboundedReceiver<JupyterMessage>,
    control: UnboundedReceiver<JupyterMessage>,
    stdin: UnboundedReceiver<JupyterMessage>,
    iopub: UnboundedReceiver<JupyterMessage>,
}

/// The wire, and what [`Ends::serve`] carries over it.
pub struct Ends {
    /// The way to the clients.
    pub wire: Wire,
    outgoing: Outgoing,
}

impl Ends {
    /// A wire that leads nowhere before [`Ends::serve`] is called.
    pub fn new() -> Self {
        let ((shell, shell_out), (control, control_out)) = (unbounded_channel(), unbounded_channel());
        let ((stdin, stdin_out), (iopub, iopub_out)) = (unbounded_channel(), unbounded_channel());
        let outgoing =
            Outgoing { shell: shell_out, control: control_out, stdin: stdin_out, iopub: iopub_out };
        Ends { wire: Wire { shell, control, stdin, iopub }, outgoing }
    }

    /// Opens the sockets and carries messages both ways from now on. Returns when the sockets are open.
    pub fn serve(self, connection: ConnectionInfo, requests: Arc<dyn Requests>) -> Result<()> {
        let (opened, open) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime needs no more than a thread");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                let done = open_all(&connection, requests, self.outgoing).await;
                let failed = done.is_err();
                let _ = opened.send(done);
                if !failed {
                    std::future::pending::<()>().await;
                }
            });
        });
        open.recv().context("the sockets were not opened")?
    }
}

async fn open_all(
    connection: &ConnectionInfo,
    requests: Arc<dyn Requests>,
    outgoing: Outgoing,
) -> Result<()> {
    let session = uuid::Uuid::new_v4().to_string();
    let address = || format!("could not open the sockets of {}", connection.shell_url());
    let shell = create_kernel_shell_connection(connection, &session).await.with_context(address)?;
    let control = create_kernel_control_connection(connection, &session).await.with_context(address)?;
    let stdin = create_kernel_stdin_connection(connection, &session).await.with_context(address)?;
    let iopub = create_kernel_iopub_xpub_connection(connection, &session).await.with_context(address)?;
    let mut heartbeat = create_kernel_heartbeat_connection(connection).await.with_context(address)?;
    tokio::task::spawn_local(async move {
        loop {
            if heartbeat.single_heartbeat().await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        }
    });
    tokio::task::spawn_local(publish(iopub, outgoing.iopub));
    let ((shell, shell_in), (control, control_in), (stdin, stdin_in)) =
        (shell.split(), control.split(), stdin.split());
    tokio::task::spawn_local(answer(shell, outgoing.shell));
    tokio::task::spawn_local(answer(control, outgoing.control));
    tokio::task::spawn_local(answer(stdin, outgoing.stdin));
    let all = [(shell_in, shell_request as Hear), (control_in, control_request), (stdin_in, input_reply)];
    for (socket, hear) in all {
        tokio::task::spawn_local(listen(socket, Arc::clone(&requests), hear));
    }
    Ok(())
}

type Hear = fn(&dyn Requests, JupyterMessage);

fn shell_request(requests: &dyn Requests, message: JupyterMessage) {
    requests.shell(message);
}

fn control_request(requests: &dyn Requests, message: JupyterMessage) {
    requests.control(message);
}

fn input_reply(requests: &dyn Requests, message: JupyterMessage) {
    requests.input(message);
}

/// Hears what clients send. What cannot be read, such as a message with a wrong signature, or a probing connection that
/// closes at once, is no reason to end.
async fn listen(mut socket: RouterRecvConnection, requests: Arc<dyn Requests>, hear: Hear) {
    loop {
        match socket.socket.recv().await {
            Ok(frames) => drop(read(frames, &socket.mac).map(|message| hear(&*requests, message))),
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// A message from its frames. Clients leave out what has a default, and send what we do not know.
fn read(frames: ZmqMessage, key: &Option<Key>) -> Result<JupyterMessage> {
    let RawMessage { zmq_identities, jparts } = RawMessage::from_multipart(frames, key)?;
    let header: Header = serde_json::from_slice(&jparts[0])?;
    let mut content: Value = serde_json::from_slice(&jparts[3])?;
    if let Value::Object(content) = &mut content {
        for (name, default) in defaults(&header.msg_type) {
            let value = content.entry(name).or_insert(Value::Null);
            if value.is_null() {
                *value = default;
            }
        }
    }
    let content = JupyterMessageContent::from_type_and_content(&header.msg_type, content)?;
    Ok(JupyterMessage {
        zmq_identities,
        parent_header: serde_json::from_slice(&jparts[1]).ok(),
        metadata: serde_json::from_slice(&jparts[2]).unwrap_or_default(),
        header,
        content,
        buffers: Vec::new(),
        channel: None,
    })
}

/// What a request has where a client leaves it out.
fn defaults(request: &str) -> Vec<(&'static str, Value)> {
    match request {
        "execute_request" => vec![("silent", json!(false)), ("store_history", json!(true))],
        "shutdown_request" => vec![("restart", json!(false))],
        "history_request" => vec![
            ("raw", json!(true)),
            ("output", json!(false)),
            ("unique", json!(false)),
            ("n", json!(0)),
            ("start", json!(0)),
            ("stop", json!(0)),
            ("session", Value::Null),
        ],
        _ => Vec::new(),
    }
}

async fn answer(mut socket: RouterSendConnection, mut messages: UnboundedReceiver<JupyterMessage>) {
    while let Some(message) = messages.recv().await {
        // The client may be gone.
        let _ = timeout(SLOW_CLIENT, socket.send(message)).await;
    }
}

/// Publishes, and welcomes who subscribes: clients know then that they miss nothing.
async fn publish(mut socket: KernelIoPubXPubConnection, mut messages: UnboundedReceiver<JupyterMessage>) {
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => drop(timeout(SLOW_CLIENT, socket.send(message)).await),
                None => return,
            },
            event = socket.recv_subscription() => match event {
                Ok(SubscriptionEvent::Subscribe(topic)) => {
                    let welcome = JupyterMessage::new(IoPubWelcome::new(topic.clone()), None);
                    let welcome = welcome.with_zmq_identities(vec![topic.into()]);
                    let _ = timeout(SLOW_CLIENT, socket.send(welcome)).await;
                }
                Ok(SubscriptionEvent::Unsubscribe(_)) => {}
                Err(_) => sleep(Duration::from_millis(1)).await,
            },
        }
    }
}
