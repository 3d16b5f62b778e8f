// Listening sockets, the limit of connections, and the socket file's life.
#include "control/api/http_server.hh"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/api/http_session.hh"
#include "control/api/path_lock.hh"
#include "control/api/protocols.hh"

namespace sluice::api {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;
using Tcp = asio::ip::tcp;
using boost::system::error_code;

std::optional<Tcp::endpoint> parse_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return std::nullopt;
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    error_code error;
    const auto address = asio::ip::make_address(host, error);
    const auto port = parse_number(std::string_view(text).substr(colon + 1), 65535);
    if (error || !port) return std::nullopt;
    return Tcp::endpoint(address, static_cast<std::uint16_t>(*port));
}

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
    State(asio::io_context& context, const Router& routes, HttpLimits bounds)
        : io(context), router(routes), limits(bounds), retry(context) {}

    /// Accepts for ever. Descriptors may run out: then it waits a moment instead of spinning.
    template <class Acceptor>
    void accept(Acceptor& acceptor) {
        acceptor.async_accept([self = shared_from_this(), &acceptor](error_code error, auto socket) {
            if (!acceptor.is_open()) return;
            if (error) {
                self->retry.expires_after(std::chrono::milliseconds(100));
                self->retry.async_wait([self, &acceptor](error_code stopped) {
                    if (!stopped && acceptor.is_open()) self->accept(acceptor);
                });
                return;
            }
            self->admit(HttpSession::Socket(std::move(socket)));
            self->accept(acceptor);
        });
    }

    void admit(HttpSession::Socket socket) {
        ++counts.accepted;
        const bool refused = !make_room(false);
        if (refused) {
            ++counts.refused;
            if (!make_room(true)) return;
        }
        const auto session = std::make_shared<HttpSession>(std::move(socket), router, limits,
                                                           [weak = weak_from_this()](HttpSession* closed) {
                                                               if (const auto self = weak.lock()) self->forget(closed);
                                                           });
        sessions.insert(session.get());
        refused ? session->refuse() : session->start();
    }

    /// True when there is a free place among the served or the refused, if need be because somebody had to go.
    bool make_room(bool among_refused) {
        HttpSession* victim = nullptr;
        std::size_t taken = 0;
        const auto stalled_before = HttpSession::Clock::now() - limits.stalled;
        for (HttpSession* session : sessions) {
            if (session->refused() != among_refused) continue;
            ++taken;
            if (session->waiting() == Waiting::no) continue;
            if (session->waiting() == Waiting::reader && session->waiting_since() > stalled_before) continue;
            const auto rank = [](const HttpSession& s) { return std::pair{s.waiting(), s.waiting_since()}; };
            if (victim == nullptr || rank(*session) < rank(*victim)) victim = session;
        }
        if (taken < limits.connections) return true;
        if (victim == nullptr) return false;
        if (!among_refused) ++counts.evicted;
        victim->close();
        return true;
    }

    void forget(HttpSession* session) {
        if (session->timed_out()) ++counts.timed_out;
        sessions.erase(session);
    }

    void make_directories(const std::filesystem::path& directory) {
        std::vector<std::filesystem::path> missing;  // the innermost first
        std::error_code error;
        for (auto at = directory; !at.empty() && !std::filesystem::exists(at, error); at = at.parent_path())
            missing.push_back(at);
        if (!directory.empty()) std::filesystem::create_directories(directory, error);
        if (error) throw ServerError("control socket: cannot make " + directory.string() + ": " + error.message());
        made_directories = std::move(missing);
    }

    /// The path of the socket is ours from here to release(). Without the lock nobody could tell a dead socket from one
    /// that another process has bound and does not listen on yet.
    void lock_path(const std::string& path) {
        if (lock && locked_path == path) return;
        release();
        for (int attempts = 0; !lock; ++attempts) {
            make_directories(std::filesystem::path(path).parent_path());
            try {
                lock = PathLock::take(path);
                if (!lock) throw ServerError("another sluiced is running (it has " + path + ")");
            } catch (const std::system_error& error) {
                // The last owner may have taken the directory away in between; not for ever.
                if (error.code() != std::errc::no_such_file_or_directory || attempts == 10)
                    throw ServerError("control socket: cannot lock " + std::string(error.what()));
            }
        }
        locked_path = path;
    }

    void release() {
        lock.reset();
        remove_directories();
    }

    /// Those that are not empty belong to somebody else by now.
    void remove_directories() {
        for (const auto& directory : std::exchange(made_directories, {})) ::rmdir(directory.c_str());
    }

    asio::io_context& io;
    const Router& router;
    HttpLimits limits;
    asio::steady_timer retry;
    std::optional<Local::acceptor> local;
    std::optional<Tcp::acceptor> tcp;
    std::set<HttpSession*> sessions;  ///< each removes itself when it closes
    HttpCounts counts;
    std::string socket_path;
    std::optional<PathLock> lock;  ///< of locked_path
    std::string locked_path;
    std::vector<std::filesystem::path> made_directories;  ///< for the socket, the innermost first
    struct stat socket_identity {};
};

HttpServer::HttpServer(asio::io_context& io, const Router& router, HttpLimits limits)
    : state_(std::make_shared<State>(io, router, limits)) {}

HttpServer::~HttpServer() {
    stop();
    state_->release();
}

void HttpServer::listen_unix(const std::string& path) {
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
        throw ServerError("control socket: path '" + path + "' is empty or too long");
    state_->lock_path(path);

    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) throw ServerError("control socket: " + path + " exists and is not a socket");
        Local::socket probe(state_->io);
        error_code error;
        probe.connect(Local::endpoint(path), error);
        if (!error || error == asio::error::would_block || error == asio::error::try_again)
            throw ServerError("control socket: another program answers on " + path);
        if (error != asio::error::connection_refused)
            throw ServerError("control socket: cannot probe " + path + ": " + error.message());
        ::unlink(path.c_str());  // left behind by a daemon that was killed
    }

    error_code error;
    auto& acceptor = state_->local.emplace(state_->io);
    acceptor.open(Local(), error);
    // The mode is set before the name exists, so nobody can connect through wider permissions (umask only narrows).
    if (!error && ::fchmod(acceptor.native_handle(), 0660) != 0) error = {errno, boost::system::system_category()};
    if (!error) acceptor.bind(Local::endpoint(path), error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error && ::chmod(path.c_str(), 0660) != 0) error = {errno, boost::system::system_category()};
    if (!error && ::lstat(path.c_str(), &state_->socket_identity) != 0)
        error = {errno, boost::system::system_category()};
    if (error) {
        state_->local.reset();
        throw ServerError("control socket: " + path + ": " + error.message());
    }
    state_->socket_path = path;
    state_->accept(acceptor);
}

void HttpServer::listen_tcp(const std::string& address_and_port) {
    const auto endpoint = parse_endpoint(address_and_port);
    if (!endpoint)
        throw ServerError("metrics: '" + address_and_port + "' is not an address and port, as in 127.0.0.1:9140");
    error_code error;
    auto& acceptor = state_->tcp.emplace(state_->io);
    acceptor.open(endpoint->protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(*endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
        state_->tcp.reset();
        throw ServerError("metrics: cannot listen on " + address_and_port + ": " + error.message());
    }
    state_->accept(acceptor);
}

std::uint16_t HttpServer::tcp_port() const {
    return state_->tcp ? state_->tcp->local_endpoint().port() : std::uint16_t{0};
}

std::size_t HttpServer::connections() const {
    return state_->sessions.size();
}

const HttpCounts& HttpServer::counts() const {
    return state_->counts;
}

void HttpServer::stop() {
    error_code ignored;
    state_->retry.cancel();
    if (state_->local) state_->local->close(ignored);
    if (state_->tcp) state_->tcp->close(ignored);
    while (!state_->sessions.empty()) (*state_->sessions.begin())->close();
    // Another daemon may have replaced the file after ours was removed by hand.
    struct stat now {};
    if (!state_->socket_path.empty() && ::lstat(state_->socket_path.c_str(), &now) == 0 &&
        now.st_ino == state_->socket_identity.st_ino && now.st_dev == state_->socket_identity.st_dev)
        ::unlink(state_->socket_path.c_str());
    state_->socket_path.clear();
}

}  // namespace sluice::api
