//! The broker under attack, and a client of it that behaves.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use tokio::net::TcpStream;

use crate::support::raw::RawClient;
use crate::support::records::Batch;
use crate::support::topic::{Topic, append, creatable, fetch, only};
use crate::support::wait::{DEADLINE, eventually, within};

/// How long a client may wait for one produce and one fetch while others attack. The broker is a debug build, and shares two
/// processors with the attackers and with the other tests.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A broker process; it ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// What it logs.
    log: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    /// Starts a broker that serves with one thread, so that whoever hogs it hogs all of it.
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_embedded-broker"))
            .args(["serve", "--listen", "127.0.0.1:0", "--worker-threads", "1"])
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the broker");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("standard output");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("the line that says that it is ready");
        let address = ready.trim().rsplit(' ').next().expect("an address");
        let mut stderr = child.stderr.take().expect("standard error");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).expect("text");
            log
        });
        Self {
            address: address.to_owned(),
            child,
            log: Some(log),
        }
    }

    pub(crate) async fn client(&self) -> RawClient {
        RawClient::connect_to(&self.address).await
    }

    /// A connection for bytes of any kind.
    pub(crate) async fn connect(&self) -> TcpStream {
        within(DEADLINE, "a connection", TcpStream::connect(&self.address))
            .await
            .expect("connect")
    }

    /// Resident memory in MiB, now.
    pub(crate) fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most resident memory in MiB since it started.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> usize {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.expect("a line of this name").trim();
        let kilobytes = kilobytes.trim_end_matches(" kB").parse::<usize>();
        kilobytes.expect("a number") / 1024
    }

    /// Processor time that it took so far, in ticks of the system: hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // Behind the name, which is in brackets; user time is the 14th field of all, system time the 15th.
        let (_, fields) = stat.rsplit_once(") ").expect("the name");
        let times = fields.split(' ').skip(11).take(2);
        times
            .map(|time| time.parse::<u64>().expect("a number"))
            .sum()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .expect("the broker's process")
    }

    /// How many files it has open: connections are files.
    pub(crate) fn open_files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.expect("the broker's process").count()
    }

    /// Holds when nearly no processor time is taken any more.
    pub(crate) async fn comes_to_rest(&self) {
        let mut before = (Instant::now(), self.ticks());
        eventually(DEADLINE, "the broker to come to rest", async || {
            if before.0.elapsed() < Duration::from_millis(300) {
                return None;
            }
            let now = (Instant::now(), self.ticks());
            let taken = now.1 - before.1;
            before = now;
            (taken <= 1).then_some(())
        })
        .await;
    }

    /// Holds when no more files are open than before.
    pub(crate) async fn gives_up_connections(&self, files: usize) {
        eventually(DEADLINE, "the connections to be given up", async || {
            (self.open_files() <= files).then_some(())
        })
        .await;
    }

    /// Creates a topic.
    pub(crate) async fn topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&'static str, &'static str)],
    ) -> Topic {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name((*key).into())
                .with_value(Some((*value).into()))
        });
        let request = CreateTopicsRequest::default()
            .with_topics(vec![
                creatable(name, partitions).with_configs(configs.collect()),
            ])
            .with_timeout_ms(10_000);
        let result = only(self.client().await.send(7, request).await.topics);
        assert_eq!(result.error_code, 0, "{:?}", result.error_message);
        Topic {
            name: name.to_owned(),
            id: result.topic_id,
        }
    }

    /// A client that produces and fetches from now on, one small request after the other.
    pub(crate) async fn witness(&self) -> Witness {
        let topic = self.topic("witnessed", 1, &[]).await;
        let mut client = self.client().await;
        // Its connection counts among the open files from now on.
        append(&mut client, &topic, 0, &Batch::of(["first"])).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            loop {
                // The last time is after the attack, whatever came before.
                let is_last = stopped.load(Ordering::Relaxed);
                let start = Instant::now();
                let offset = append(&mut client, &topic, 0, &Batch::of(["seen"])).await;
                let found = fetch(&mut client, &topic, 0, offset).await;
                assert!(found.records.is_some_and(|records| !records.is_empty()));
                slowest = slowest.max(start.elapsed());
                if is_last {
                    return slowest;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Witness { stop, task }
    }

    /// Ends the broker, which must still be there and not have panicked.
    pub(crate) fn end(mut self) {
        let state = self.child.try_wait().expect("its state");
        assert_eq!(state, None, "the broker has ended");
        self.child.kill().expect("kill the broker");
        let log = self.log.take().expect("taken here only").join();
        let log = log.expect("its log");
        assert!(!log.contains("panicked"), "{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if the test came to its end.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// See [`Server::witness`].
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Duration>,
}

impl Witness {
    /// Holds when it was served all the time.
    pub(crate) async fn was_served(self) {
        self.stop.store(true, Ordering::Relaxed);
        let slowest = self.task.await.expect("it was served");
        println!("waited {slowest:?} at most");
        assert!(slowest < LONGEST_WAIT, "it waited for {slowest:?}");
    }
}
