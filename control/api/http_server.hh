// HTTP/1.1 server (Boost.Beast) for the control socket (UNIX) and the metrics endpoint (TCP). Everything runs on one
// io_context thread. A request is read whole (small bodies only), given to the Router, and answered once or as a
// chunked stream whose producer waits until each chunk is written: a slow reader costs one chunk of memory.
//
// Limits: body 1 MB, header 16 KB; 10 s for the head of a request to arrive, 30 s for its body or for a chunk to be
// taken. What breaks a limit gets a 4xx (half a request in time 408) and the connection closes.
//
// A server has 64 connections. When all are taken, a newcomer gets the place of the client that keeps the box waiting
// the longest: first of those whose request has not come, then of those whose body has not, then of those that have not
// taken an answer (or a chunk of it) for a while. Only when every connection is being served is the newcomer refused:
// 503. So clients that connect and say nothing keep nobody out.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "control/api/router.hh"

namespace sluice::api {

/// Why a server could not start; the text is one line for people.
struct ServerError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct HttpLimits {
    std::size_t body_bytes = 1 << 20;
    std::uint32_t header_bytes = 16 << 10;
    std::size_t connections = 64;                    ///< and as many again that are being told 503
    std::chrono::milliseconds head_timeout{10'000};  ///< for the head of the first request
    std::chrono::milliseconds timeout{30'000};       ///< for the next request, for a body, for a chunk that is written
    std::chrono::milliseconds stalled{2'000};        ///< a reader that took nothing for so long makes room for others
};

struct HttpCounts {
    std::uint64_t accepted = 0;
    std::uint64_t evicted = 0;    ///< closed to make room
    std::uint64_t refused = 0;    ///< answered with 503
    std::uint64_t timed_out = 0;  ///< the client was too slow
};

class HttpServer {
public:
    /// The router must outlive the server.
    HttpServer(boost::asio::io_context& io, const Router& router, HttpLimits limits = {});
    /// As stop(); then the path of the socket is free for another process, and the directories that were made for it
    /// go.
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Listens on a UNIX socket, mode 0660; its directory is made if missing. The path is this server's as long as it
    /// lives (PathLock), also after stop(). A socket file that was left behind is replaced. Throws ServerError:
    /// "another sluiced is running (…)", or why the socket could not be made.
    void listen_unix(const std::string& path);
    /// Listens on "127.0.0.1:9140" or "[::1]:9140" (port 0: any). Throws ServerError.
    void listen_tcp(const std::string& address_and_port);
    /// The TCP port that listen_tcp got.
    [[nodiscard]] std::uint16_t tcp_port() const;
    [[nodiscard]] std::size_t connections() const;
    [[nodiscard]] const HttpCounts& counts() const;

    /// Closes listeners and connections and removes the socket file if it is still ours.
    void stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace sluice::api
