// HTTP/1.1 server (Boost.Beast) for the control socket (UNIX) and the metrics endpoint (TCP). Everything runs on one
// io_context thread. A request is read whole (small bodies only), given to the Router, and answered once or as a
// chunked stream whose producer waits until each chunk is written: a slow reader costs one chunk of memory.
//
// Limits: body 1 MB, header 16 KB, 64 connections (further ones get 503), 30 s for a request to arrive or a chunk to be
// taken. What breaks a limit gets a 4xx and the connection closes.
#pragma once

#include <chrono>
#include <cstddef>
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
    std::size_t connections = 64;
    std::chrono::milliseconds timeout{30'000};  ///< for reading a request and for writing a chunk
};

class HttpServer {
public:
    /// The router must outlive the server.
    HttpServer(boost::asio::io_context& io, const Router& router, HttpLimits limits = {});
    /// As stop().
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// Listens on a UNIX socket, mode 0660; its directory is made if missing. A socket file that nobody answers on is
    /// replaced. Throws ServerError: "another sluiced is running (…)", or why the socket could not be made.
    void listen_unix(const std::string& path);
    /// Listens on "127.0.0.1:9140" or "[::1]:9140" (port 0: any). Throws ServerError.
    void listen_tcp(const std::string& address_and_port);
    /// The TCP port that listen_tcp got.
    [[nodiscard]] std::uint16_t tcp_port() const;
    [[nodiscard]] std::size_t connections() const;

    /// Closes listeners and connections and removes the socket file if it is still ours.
    void stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace sluice::api
