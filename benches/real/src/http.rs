//! HTTP over loopback: clients send bodies, a server checks and transforms them (hyper).

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use neap_workloads::outcome::Outcome;
use neap_workloads::random::Random;
use neap_workloads::workload::Job;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::program::{self, Done};
use crate::text;

/// Requests, all connections together.
const REQUESTS: usize = 36_000;
const CONNECTIONS: usize = 24;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(131).wrapping_add(u64::from(*byte)))
}

/// The server's answer: the body in capitals, its sum in a header, and the request's own headers back.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::builder().status(400).body(Full::default()).expect("a valid response"));
    };
    let body = body.to_bytes();
    let mut response = Response::builder().header("x-sum", sum(&body).to_string());
    for (name, value) in parts.headers.iter().filter(|header| header.0.as_str().starts_with("x-own")) {
        response = response.header(name, value);
    }
    let capitals: Vec<u8> = body.iter().map(u8::to_ascii_uppercase).collect();
    Ok(response.body(Full::from(capitals)).expect("a valid response"))
}

/// Serves connections until the listener is dropped with its task.
async fn serve(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // The client closes the connection: an error at its end says nothing.
            let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

/// One client: request after request on one connection.
async fn ask(address: SocketAddr, number: usize, requests: usize) -> Result<u64, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut random = Random::new(12_000 + number as u64);
    let mut total = 0u64;
    for _ in 0..requests {
        let words = random.log_uniform(4, 3_000);
        let body = text::sentence(&mut random, words, 5_000);
        let mut request =
            Request::post(format!("/objects/{}", text::word(random.below(10_000)))).header("host", "localhost");
        let headers = random.between(2, 9);
        for index in 0..headers {
            let value = text::sentence(&mut random, 6, 500);
            request = request
                .header(HeaderName::from_bytes(format!("x-own-{index}").as_bytes())?, HeaderValue::from_str(&value)?);
        }
        let expected = body.to_ascii_uppercase();
        let expected_sum = sum(body.as_bytes()).to_string();
        let response = sender.send_request(request.body(Full::<Bytes>::from(body))?).await?;
        let own = response.headers().keys().filter(|name| name.as_str().starts_with("x-own")).count();
        assert_eq!(own, headers, "headers were lost");
        assert_eq!(response.headers()["x-sum"], expected_sum.as_str());
        let reply = response.into_body().collect().await?.to_bytes();
        assert!(reply == expected.as_bytes(), "the reply differs");
        total = total.wrapping_add(sum(&reply));
        sender.ready().await?;
    }
    drop(sender);
    connection.await??;
    Ok(total)
}

async fn exchange(requests: usize) -> Result<Done, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(listener));
    let clients: Vec<_> = (0..CONNECTIONS).map(|number| tokio::spawn(ask(address, number, requests))).collect();
    let mut checksum = 0u64;
    for client in clients {
        checksum = checksum.wrapping_add(client.await??);
    }
    server.abort();
    Ok(Done { ops: (CONNECTIONS * requests) as u64, checksum })
}

pub fn run(job: &Job) -> Outcome {
    let requests = job.scale.of(REQUESTS / CONNECTIONS).max(4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(job.threads)
        .enable_io()
        .build()
        .expect("a runtime can be made");
    program::run(
        job,
        runtime,
        || (),
        |runtime: &Runtime, ()| {
            runtime.block_on(exchange(requests)).unwrap_or_else(|error| panic!("the exchange failed: {error}"))
        },
    )
}
