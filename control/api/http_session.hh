// One connection: reads a request, hands it to the router, writes the answer, reads the next one. The Answer object of
// each request is what handlers hold; it outlives neither its meaning (a late answer is ignored) nor, thanks to shared
// pointers, the memory behind it.
//
// A session knows whom it waits for, so that the server can tell which one to close when it needs room: a client that
// keeps its connection without a word costs others nothing.
//
// Life: created by the acceptor, kept alive by its own pending operations and by Answers, ends in close(). Control
// thread only. Half a request is answered 400 when the client has ended its side and 408 when its time is over. Any
// other I/O error or time-out ends the connection; the handler learns of it through on_gone().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>

#include "control/api/http_server.hh"
#include "control/api/router.hh"

namespace sluice::api {

/// What a connection owes to its client's slowness, the least worth keeping first.
enum class Waiting : std::uint8_t {
    head,    ///< for a request, or the rest of its head; also for the client to close after the last answer
    body,    ///< for the rest of a request
    reader,  ///< for the client to take an answer
    no       ///< the box works on the answer, or a stream is silent
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
public:
    using Socket = boost::asio::generic::stream_protocol::socket;

    using Clock = std::chrono::steady_clock;

    HttpSession(Socket socket, const Router& router, const HttpLimits& limits,
                std::function<void(HttpSession*)> closed);

    /// Reads the first request.
    void start() { read(); }
    /// Reads the head of the first request only to answer 503: over the limit of connections.
    void refuse();
    /// Ends the connection now.
    void close();

    [[nodiscard]] bool refused() const noexcept { return refuse_; }
    [[nodiscard]] Waiting waiting() const noexcept { return waiting_; }
    [[nodiscard]] Clock::time_point waiting_since() const noexcept { return waiting_since_; }
    /// It ended because the client was too slow (an idle connection between two requests is not).
    [[nodiscard]] bool timed_out() const noexcept { return timed_out_; }

private:
    class Answer;
    using Fields = std::vector<std::pair<http::field, std::string>>;

    void wait_for(Waiting what);
    void fail(boost::beast::error_code error);
    void limit_read(std::chrono::milliseconds patience);
    void end_read();
    void read();
    void on_head(boost::beast::error_code error);
    void on_read(boost::beast::error_code error);
    void on_read_error(boost::beast::error_code error);
    void on_bad_request(http::status status, std::string_view why);
    void handle();
    void send(http::status status, std::string_view content_type, std::string body, const Fields& fields);
    void start_stream(http::status status, std::string_view content_type, const Fields& fields);
    void on_stream_started(boost::beast::error_code error);
    void queue_chunk(std::string chunk, std::function<void()> written);
    void write_next();
    void finish_stream();
    void after_answer(boost::beast::error_code error);
    void watch_for_hangup();
    void drain();

    boost::beast::basic_stream<boost::asio::generic::stream_protocol> stream_;
    const Router& router_;
    HttpLimits limits_;
    std::function<void(HttpSession*)> closed_;
    boost::asio::steady_timer deadline_;  ///< of the read that runs
    boost::beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    std::optional<http::response<http::string_body>> response_;
    std::optional<http::response<http::empty_body>> stream_header_;
    std::optional<http::response_serializer<http::empty_body>> stream_serializer_;
    std::weak_ptr<Answer> answer_;
    std::string chunk_;  ///< being written, or waiting for the header to be out
    std::function<void()> chunk_written_;
    Clock::time_point waiting_since_{};
    std::uint64_t read_number_ = 0;  ///< tells deadline_ whether its read still runs
    Waiting waiting_ = Waiting::no;
    bool overdue_ = false;  ///< deadline_ ended the read
    bool timed_out_ = false;
    bool first_request_ = true;
    bool refuse_ = false;
    bool keep_alive_ = false;
    bool head_only_ = false;  ///< the request was HEAD: no answer to it has a body
    bool chunked_ = true;     ///< HTTP/1.0 has no chunks: the end of the connection ends the answer
    bool writing_ = false;    ///< an operation of the stream is under way
    bool finishing_ = false;
    bool watching_ = false;  ///< for a hang-up
    bool patient_ = false;   ///< with who takes a stream
    bool open_ = true;
    std::size_t drained_bytes_ = 0;
};

}  // namespace sluice::api
