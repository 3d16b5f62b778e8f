#include "tools/sluicectl/client.hh"

#include <array>
#include <atomic>
#include <csignal>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace sluice::ctl {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

/// The socket of the running stream, for the signal handler. −1: none; −2: it was stopped.
std::atomic<int> running_stream{-1};
static_assert(std::atomic<int>::is_always_lock_free);

/// A socket that gives up after a silence (Asio's blocking calls wait for ever).
struct PatientSocket {
    Local::socket& socket;
    std::chrono::milliseconds silence;

    /// False when nothing came in time.
    [[nodiscard]] bool wait_for(short events) const {
        pollfd descriptor{.fd = socket.native_handle(), .events = events, .revents = 0};
        const int wait = silence.count() == 0 ? -1 : static_cast<int>(silence.count());
        int ready = 0;
        do {
            ready = ::poll(&descriptor, 1, wait);
        } while (ready < 0 && errno == EINTR);
        return ready != 0;
    }
    /// `operation(error)` when it can go on, until it has.
    template <class Operation>
    std::size_t when(short events, error_code& error, Operation&& operation) const {
        for (;;) {
            if (!wait_for(events)) {
                error = asio::error::timed_out;
                return 0;
            }
            const std::size_t bytes = operation(error);
            if (error != asio::error::would_block && error != asio::error::interrupted) return bytes;
        }
    }
    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, error_code& error) {
        return when(POLLOUT, error, [&](error_code& e) { return socket.write_some(buffers, e); });
    }
    template <class Buffers>
    std::size_t write_some(const Buffers& buffers) {
        error_code error;
        const auto bytes = write_some(buffers, error);
        if (error) throw boost::system::system_error(error);
        return bytes;
    }
    template <class Buffers>
    std::size_t read_some(const Buffers& buffers, error_code& error) {
        return when(POLLIN, error, [&](error_code& e) { return socket.read_some(buffers, e); });
    }
    template <class Buffers>
    std::size_t read_some(const Buffers& buffers) {
        error_code error;
        const auto bytes = read_some(buffers, error);
        if (error) throw boost::system::system_error(error);
        return bytes;
    }
};

Failure no_answer(std::chrono::milliseconds patience) {
    return {kUnreachable, "sluiced does not answer: nothing came within " + std::to_string(patience.count() / 1000) +
                              " s (--timeout sets another time)"};
}

void connect(Local::socket& socket, const std::string& path, std::chrono::milliseconds patience) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) throw Failure(kUsage, "--socket: the path is too long");
    socket.open();
    // With a queue of connections that nobody accepts connect() waits as well, for as long as sending may.
    const timeval limit{patience.count() / 1000, patience.count() % 1000 * 1000};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const Local::endpoint endpoint(path);
    if (::connect(socket.native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0) return;
    if (errno == EAGAIN) throw no_answer(patience);
    const error_code error(errno, boost::system::system_category());
    std::string message = "cannot reach sluiced on " + path + ": " + error.message();
    if (error == asio::error::access_denied) {
        message += " (are you root, or in the socket's group?)";
    } else {
        message += " (is sluiced running? --socket names another place)";
    }
    throw Failure(kUnreachable, message);
}

void send(PatientSocket& socket, const Call& call) {
    http::request<http::string_body> request(call.method, call.target, 11);
    request.set(http::field::host, "sluiced");
    request.set(http::field::user_agent, "sluicectl");
    request.set(http::field::accept, call.accept);
    request.keep_alive(false);
    request.body() = call.body;
    request.prepare_payload();
    error_code error;
    http::write(socket, request, error);
    if (error == asio::error::timed_out) throw no_answer(socket.silence);
    // A body that is too large is refused before it is read whole: the answer tells.
    if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset)
        throw Failure(kUnreachable, "sluiced took no request: " + error.message());
}

}  // namespace

bool Client::exchange(const Call& call, const std::function<void(unsigned, std::string_view)>& sink) const {
    asio::io_context io;
    Local::socket socket(io);
    const auto patience = timeout_.count() != 0 ? timeout_ : call.begin;
    connect(socket, path_, patience);
    if (int none = -1; !running_stream.compare_exchange_strong(none, socket.native_handle())) {
        running_stream = -1;
        return false;  // stopped before it began
    }
    socket.non_blocking(true);  // what is waited for is waited for in poll()
    PatientSocket patient{socket, patience};
    send(patient, call);

    boost::beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    error_code error;
    http::read_header(patient, buffer, parser, error);
    if (error == asio::error::timed_out && running_stream.exchange(-1) != -2) throw no_answer(patience);
    patient.silence = call.silence;
    if (!error && parser.get().result_int() / 100 == 2 &&
        !std::string_view(parser.get()[http::field::content_type]).starts_with(call.accept)) {
        running_stream = -1;
        throw Failure(kUnreachable, "what answers on " + path_ + " is not sluiced: it sent '" +
                                        std::string(parser.get()[http::field::content_type]) + "' in place of " +
                                        call.accept);
    }
    std::array<char, 64 << 10> space{};
    while (!error && !parser.is_done()) {
        parser.get().body().data = space.data();
        parser.get().body().size = space.size();
        http::read_some(patient, buffer, parser, error);
        if (error == http::error::need_buffer) error = {};
        const std::size_t filled = space.size() - parser.get().body().size;
        if (filled > 0) sink(parser.get().result_int(), {space.data(), filled});
    }
    if (running_stream.exchange(-1) == -2) return false;
    if (error == asio::error::timed_out) throw Failure(kUnreachable, "sluiced fell silent within its answer");
    if (error) throw Failure(kUnreachable, "the answer of sluiced broke off: " + error.message());
    if (parser.get().result_int() != 0 && parser.is_done()) sink(parser.get().result_int(), {});
    return true;
}

Reply Client::request(const Call& call) const {
    Reply reply;
    exchange(call, [&](unsigned status, std::string_view part) {
        reply.status = status;
        reply.body += part;
    });
    return reply;
}

std::string Client::body_of(const Call& call) const {
    Reply reply = request(call);
    if (reply.status / 100 != 2) throw refusal(reply);
    return std::move(reply.body);
}

bool Client::stream(const Call& call, const std::function<void(std::string_view)>& sink) const {
    Reply refused;
    const bool whole = exchange(call, [&](unsigned status, std::string_view part) {
        if (status / 100 == 2) return sink(part);
        refused.status = status;
        refused.body += part;
    });
    if (refused.status != 0) throw refusal(refused);
    return whole;
}

void Client::stop_streams() noexcept {
    const int descriptor = running_stream.exchange(-2);
    if (descriptor >= 0) ::shutdown(descriptor, SHUT_RDWR);
}

void Client::end_streams_on_signals() noexcept {
    struct sigaction action {};
    action.sa_handler = [](int) { stop_streams(); };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

Failure refusal(const Reply& reply) {
    error_code error;
    const auto parsed = json::parse(reply.body, error);
    const auto* object = error ? nullptr : parsed.if_object();
    const auto* message = object == nullptr ? nullptr : object->if_contains("error");
    if (message == nullptr || !message->is_string())
        return {kFailure, "sluiced answered " + std::to_string(reply.status)};
    std::string text(message->get_string());
    const auto* issues = object->if_contains("issues");
    if (issues == nullptr || !issues->is_array()) return {kFailure, text, reply.body};
    for (const auto& issue : issues->get_array()) {
        const auto* fields = issue.if_object();
        if (fields == nullptr) continue;
        const auto field = [&](const char* name) {
            const auto* value = fields->if_contains(name);
            return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
        };
        const auto number = [&](const char* name) {
            const auto* value = fields->if_contains(name);
            return value != nullptr && value->is_number() ? value->to_number<std::uint64_t>() : 0;
        };
        text += '\n' + field("file");
        if (number("line") != 0) text += ':' + std::to_string(number("line")) + ':' + std::to_string(number("column"));
        if (!field("path").empty()) text += ": " + field("path");
        text += ": " + field("message");
    }
    return {kFailure, text, reply.body};
}

}  // namespace sluice::ctl
