// From a request to its handler: exact paths, each with its methods. What no route knows is answered here (404, and 405
// with Allow). A handler gets an Exchange and answers on it, at once or later, whole or as a stream.
//
// Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>

#include "control/api/flow_filter.hh"

namespace sluice::api {

namespace http = boost::beast::http;

/// A request, read whole and decoded.
struct Request {
    http::verb method = http::verb::get;
    std::string path;
    QueryParameters query;
    std::string accept;
    std::string body;
    std::uint32_t client_pid = 0;  ///< of a client on a UNIX socket; 0: not known
};

/// One request and its answer. Kept alive by shared pointers; when the client goes away, answers are ignored.
class Exchange {
public:
    virtual ~Exchange() = default;
    [[nodiscard]] virtual const Request& request() const = 0;

    /// The whole answer. Called once, and not together with a stream; what comes after the first answer is ignored.
    virtual void reply(http::status status, std::string_view content_type, std::string body) = 0;
    /// Adds a header to the answer; before reply() or start_stream().
    virtual void set_header(http::field name, std::string_view value) = 0;
    /// Starts a chunked answer.
    virtual void start_stream(http::status status, std::string_view content_type) = 0;
    /// A stream's client may take its time over a chunk: it is cut off only to make room for others. Before
    /// start_stream().
    virtual void be_patient() = 0;
    /// Sends a chunk (not empty); `written` is called when the client's socket has taken it, and never if the client
    /// went away. Not called again before that.
    virtual void write_chunk(std::string chunk, std::function<void()> written) = 0;
    /// Ends the stream properly.
    virtual void finish_stream() = 0;
    /// Breaks the connection: the client sees that the stream is not complete.
    virtual void abort_stream() = 0;
    /// Called once when the client goes away before the answer is complete, then never again. Also notices a client
    /// that leaves while nothing is being sent.
    virtual void on_gone(std::function<void()> handler) = 0;
    /// Runs something later on the control thread. The one call that any thread may make.
    virtual void defer(std::function<void()> work) = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
using Handler = std::function<void(const ExchangePtr&)>;

/// {"error": "…"} with this status.
void reply_error(Exchange& exchange, http::status status, std::string_view message);

/// Splits and decodes "path?query" (percent and plus decoding); false when an escape is malformed or NUL.
[[nodiscard]] bool decode_target(std::string_view target, std::string& path, QueryParameters& query);
/// The reverse for one value of a query.
[[nodiscard]] std::string percent_encode(std::string_view value);

class Router {
public:
    void add(http::verb method, std::string path, Handler handler);
    /// Answers an exchange; an exception of a handler becomes 500.
    void dispatch(const ExchangePtr& exchange) const;

private:
    std::map<std::string, std::map<http::verb, Handler>, std::less<>> routes_;
};

}  // namespace sluice::api
