// HTTP client of sluicectl: one request per object over the control socket, blocking, with limits on the wait for an
// answer and on silence within it. Answers are read whole or piece by piece (listings, captures).
#pragma once

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/beast/http/verb.hpp>

namespace sluice::ctl {

namespace http = boost::beast::http;

using ExitCode = int;  ///< of sluicectl
constexpr ExitCode kOk = 0;
constexpr ExitCode kFailure = 1;      ///< refused, or nothing matched
constexpr ExitCode kUsage = 2;        ///< what was asked for cannot be
constexpr ExitCode kUnreachable = 3;  ///< no daemon answers
constexpr ExitCode kRestart = 4;      ///< check --running: the file is valid, and a reload would refuse it

/// A message for stderr and the exit code that goes with it.
struct Failure : std::runtime_error {
    Failure(ExitCode exit_code, const std::string& message, std::string object = {})
        : std::runtime_error(message), code(exit_code), json(std::move(object)) {}
    ExitCode code;
    std::string json;  ///< what sluiced said, an object with "error" and a newline behind it; empty: the message is all
};

struct Reply {
    unsigned status = 0;
    std::string body;
};

struct Call {
    http::verb method = http::verb::get;
    std::string target;
    std::string body;
    std::string accept = "application/json";
    std::chrono::milliseconds silence{60'000};  ///< longest wait for the next byte of an answer; 0: for ever
    std::chrono::milliseconds begin{10'000};    ///< longest wait for its head, unless --timeout says otherwise
};

class Client {
public:
    /// `timeout`: longest wait for the head of an answer; 0: as each call says.
    explicit Client(std::string socket_path, std::chrono::milliseconds timeout = {})
        : path_(std::move(socket_path)), timeout_(timeout) {}

    /// The whole answer, whatever its status. Throws Failure (kUnreachable) when there is no complete answer, or one
    /// that did well but is not what the call accepts: then somebody else listens there.
    [[nodiscard]] Reply request(const Call& call) const;
    /// As above, but an answer that is not 2xx is thrown as Failure (kFailure) with sluiced's message.
    [[nodiscard]] std::string body_of(const Call& call) const;
    /// Gives the body of a 2xx answer to `sink` as it comes; other answers throw as in body_of(). Returns false when
    /// stop_streams() ended it.
    bool stream(const Call& call, const std::function<void(std::string_view)>& sink) const;

    /// Ends a stream() that is running; may be called from a signal handler.
    static void stop_streams() noexcept;
    /// From now on SIGINT and SIGTERM do so.
    static void end_streams_on_signals() noexcept;

private:
    bool exchange(const Call& call, const std::function<void(unsigned status, std::string_view part)>& sink) const;

    std::string path_;
    std::chrono::milliseconds timeout_;
};

/// Of an answer that is not 2xx: its "error", and the lines of its "issues" if it has some.
Failure refusal(const Reply& reply);

}  // namespace sluice::ctl
