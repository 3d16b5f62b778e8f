// A raw client for tests: bytes in, bytes out, in a thread of its own while the test's thread runs the io_context.
#pragma once

#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "control/api/http_server.hh"
#include "control/api/routes.hh"
#include "tests/support/fake_box.hh"

namespace sluice::test {

/// A directory that goes away with the test.
struct TemporaryDirectory {
    std::filesystem::path path;
    TemporaryDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "sluice-api-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path); }
};

/// A blocking socket to a server; reads give up after 5 s.
class RawClient {
public:
    explicit RawClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("connect");
    }
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;
    ~RawClient() { ::close(fd_); }

    void send(std::string_view text) const {
        while (!text.empty()) {
            const auto sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    /// The server sees the end of what the client says; answers can still come.
    void end_sending() const { ::shutdown(fd_, SHUT_WR); }
    /// Some bytes, or nothing at the end (or after 5 s of silence).
    [[nodiscard]] std::string receive_some() const {
        std::string space(4096, '\0');
        const auto got = ::recv(fd_, space.data(), space.size(), 0);
        space.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return space;
    }
    [[nodiscard]] std::string receive_until_closed() const {
        std::string all;
        for (std::string part = receive_some(); !part.empty(); part = receive_some()) all += part;
        return all;
    }

private:
    int fd_;
};

struct RawReply {
    unsigned status = 0;
    std::string head;
    std::string body;  ///< chunks joined
};

inline RawReply parse_reply(const std::string& text) {
    RawReply reply;
    const auto end = text.find("\r\n\r\n");
    if (end == std::string::npos || text.size() < 12) return reply;
    reply.status = static_cast<unsigned>(std::stoul(text.substr(9, 3)));
    reply.head = text.substr(0, end + 2);
    std::string_view rest = std::string_view(text).substr(end + 4);
    if (reply.head.find("Transfer-Encoding: chunked") == std::string::npos) {
        reply.body = rest;
        return reply;
    }
    while (!rest.empty()) {
        const auto line = rest.find("\r\n");
        const auto size = std::stoul(std::string(rest.substr(0, line)), nullptr, 16);
        if (size == 0) return reply;
        reply.body += rest.substr(line + 2, size);
        rest.remove_prefix(line + 2 + size + 2);
    }
    reply.body += "<broken off>";
    return reply;
}

/// A fake box behind a real server on a real socket.
struct Served {
    TemporaryDirectory directory;
    boost::asio::io_context io;
    FakeBox box{io};
    api::Router router;
    std::unique_ptr<api::HttpServer> server;
    std::string path = directory.path / "control.sock";

    explicit Served(api::HttpLimits limits = {}) {
        api::add_api_routes(router, box);
        server = std::make_unique<api::HttpServer>(io, router, limits);
        server->listen_unix(path);
    }

    /// Runs the server until the client's function is done.
    template <class Function>
    auto with_client(Function function) {
        auto result = std::async(std::launch::async, std::move(function));
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready &&
               std::chrono::steady_clock::now() < give_up)
            io.run_one_for(std::chrono::milliseconds(5));
        io.poll();
        return result.get();
    }

    RawReply raw(const std::string& text) {
        return parse_reply(with_client([&] {
            const RawClient client(path);
            client.send(text);
            return client.receive_until_closed();
        }));
    }
    RawReply call(const std::string& method, const std::string& target, const std::string& body = "",
                  const std::string& accept = "*/*") {
        return raw(method + ' ' + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: " + accept +
                   "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
};

}  // namespace sluice::test
