//! A web server on this machine that does to a download what servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server does to the connections that come, one after the other; the last goes for all further ones.
#[derive(Clone, Copy)]
pub enum Reply {
    /// Sends what was asked for.
    Serve,
    /// Sends that, but closes the connection after so many bytes.
    BreakOff(usize),
    /// Sends the whole file even when only a part was asked for.
    IgnoreRange,
    /// Has no such file.
    NotFound,
    /// Sends so many bytes, and then nothing, without closing the connection.
    Stall(usize),
    /// Announces no length, sends what was asked for, and then goes on and on.
    Endless,
    /// Announces a file of another length, and sends its head alone.
    Announce(usize),
}

/// A web server with one file.
pub struct Server {
    /// The file's address.
    pub url: String,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    /// Starts one with this file.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(content: Vec<u8>, replies: &[Reply]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (replies, asked) = (replies.to_vec(), ranges.clone());
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let reply = replies[index.min(replies.len() - 1)];
                asked.lock().unwrap().push(answer(stream.unwrap(), &content, reply));
            }
        });
        Server { url, ranges }
    }

    /// From which byte on each request wanted the file; `None` for all of it.
    ///
    /// # Panics
    /// If the server has.
    pub fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, content: &[u8], reply: Reply) -> Option<usize> {
    let mut wanted = None;
    for line in BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            wanted = Some(range.trim_end_matches('-').parse().unwrap());
        }
    }
    let total = content.len();
    let (status, body) = match (reply, wanted) {
        (Reply::NotFound, _) => ("404 Not Found".to_owned(), &b"no such file"[..]),
        (Reply::IgnoreRange, _) | (_, None) => ("200 OK".to_owned(), content),
        (_, Some(start)) if start >= total => ("416 Range Not Satisfiable".to_owned(), &b""[..]),
        (_, Some(start)) => {
            let range = format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}", total - 1);
            (range, &content[start..])
        }
    };
    let sent = match reply {
        Reply::BreakOff(count) | Reply::Stall(count) => &body[..count.min(body.len())],
        Reply::Announce(_) => b"",
        _ => body,
    };
    let length = match reply {
        Reply::Endless => String::new(),
        Reply::Announce(count) => format!("Content-Length: {count}\r\n"),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n");
    // The client may have hung up, which is its right.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
    if matches!(reply, Reply::Stall(_)) {
        std::thread::spawn(move || {
            let _ = stream.read(&mut [0]);
        });
    } else if matches!(reply, Reply::Endless) {
        while stream.write_all(&[7; 1 << 16]).is_ok() {}
    }
    wanted
}
