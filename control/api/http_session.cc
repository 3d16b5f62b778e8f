#include "control/api/http_session.hh"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

namespace sluice::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr std::chrono::seconds kDrainTime{2};
constexpr std::size_t kDrainBytes = 16 << 20;

/// 0: it is not on this machine, or in another namespace of processes.
std::uint32_t pid_of_peer(int descriptor) {
    ::ucred peer{};
    ::socklen_t size = sizeof peer;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid < 0) return 0;
    return static_cast<std::uint32_t>(peer.pid);
}

}  // namespace

/// What a handler holds. Answers once; when it goes away unanswered, the client gets 500 instead of silence.
class HttpSession::Answer : public Exchange {
public:
    Answer(std::shared_ptr<HttpSession> session, Request request)
        : session_(std::move(session)), request_(std::move(request)) {}

    ~Answer() override {
        if (stage_ == Stage::asked) {
            session_->send(http::status::internal_server_error, "application/json",
                           "{\"error\":\"the request was dropped unanswered\"}\n", {});
        } else if (stage_ == Stage::streaming) {
            session_->close();
        }
    }

    [[nodiscard]] const Request& request() const override { return request_; }

    void set_header(http::field name, std::string_view value) override { fields_.emplace_back(name, value); }

    void reply(http::status status, std::string_view content_type, std::string body) override {
        if (!leave(Stage::asked, Stage::done)) return;
        session_->send(status, content_type, std::move(body), fields_);
    }

    void start_stream(http::status status, std::string_view content_type) override {
        if (!leave(Stage::asked, Stage::streaming)) return;
        session_->start_stream(status, content_type, fields_);
    }

    void be_patient() override { session_->patient_ = true; }

    void write_chunk(std::string chunk, std::function<void()> written) override {
        if (stage_ == Stage::streaming) session_->queue_chunk(std::move(chunk), std::move(written));
    }

    void finish_stream() override {
        if (leave(Stage::streaming, Stage::done)) session_->finish_stream();
    }

    void abort_stream() override {
        if (leave(Stage::streaming, Stage::done)) session_->close();
    }

    void on_gone(std::function<void()> handler) override {
        if (stage_ == Stage::done) return;
        gone_ = std::move(handler);
        session_->watch_for_hangup();
    }

    void defer(std::function<void()> work) override { asio::post(session_->stream_.get_executor(), std::move(work)); }

    /// The connection has ended. The handler may hold the last reference to this through its own objects.
    void gone() {
        stage_ = Stage::done;
        if (auto handler = std::exchange(gone_, nullptr)) handler();
    }

private:
    enum class Stage { asked, streaming, done };

    bool leave(Stage from, Stage to) {
        if (stage_ != from) return false;
        stage_ = to;
        // Releases what the handler holds, which may include a pointer to this; not inside its own call.
        if (to == Stage::done && gone_) defer([released = std::exchange(gone_, nullptr)] {});
        return true;
    }

    std::shared_ptr<HttpSession> session_;
    Request request_;
    Fields fields_;
    std::function<void()> gone_;
    Stage stage_ = Stage::asked;
};

HttpSession::HttpSession(Socket socket, const Router& router, const HttpLimits& limits,
                         std::function<void(HttpSession*)> closed)
    : stream_(std::move(socket)),
      router_(router),
      limits_(limits),
      closed_(std::move(closed)),
      deadline_(stream_.get_executor()) {}

void HttpSession::refuse() {
    refuse_ = true;
    read();
}

void HttpSession::close() {
    if (!open_) return;
    open_ = false;
    const auto self = shared_from_this();
    end_read();
    stream_.close();
    if (const auto answer = answer_.lock()) answer->gone();
    chunk_written_ = nullptr;
    closed_(this);
}

void HttpSession::wait_for(Waiting what) {
    waiting_ = what;
    waiting_since_ = Clock::now();
}

void HttpSession::fail(beast::error_code error) {
    timed_out_ = timed_out_ || error == beast::error::timeout;
    close();
}

/// Gives up the read that begins now after `patience`. The time-out of the stream would close its socket, and the
/// client could not be told any more.
void HttpSession::limit_read(std::chrono::milliseconds patience) {
    overdue_ = false;
    stream_.expires_never();
    deadline_.expires_after(patience);
    deadline_.async_wait([weak = weak_from_this(), number = ++read_number_](beast::error_code error) {
        const auto self = weak.lock();
        if (error || !self || !self->open_ || self->read_number_ != number) return;
        self->overdue_ = true;
        self->stream_.cancel();
    });
}

/// A deadline that has passed already, its handler waiting for its turn, must not hit what comes next.
void HttpSession::end_read() {
    ++read_number_;
    deadline_.cancel();
}

void HttpSession::read() {
    parser_.emplace();
    parser_->header_limit(limits_.header_bytes);
    parser_->body_limit(limits_.body_bytes);
    wait_for(Waiting::head);
    // Between requests a connection may rest (a scraper comes back); a new one is there to ask.
    limit_read(first_request_ ? limits_.head_timeout : limits_.timeout);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_head(error); });
}

void HttpSession::on_head(beast::error_code error) {
    if (!open_) return;
    if (error) return on_read_error(error);
    first_request_ = false;
    if (refuse_) return on_read({});
    wait_for(Waiting::body);
    limit_read(limits_.timeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error_of_body, std::size_t) { self->on_read(error_of_body); });
}

void HttpSession::on_read_error(beast::error_code error) {
    end_read();
    if (overdue_ && error == asio::error::operation_aborted) {
        if (parser_->got_some()) {
            timed_out_ = true;
            return on_bad_request(http::status::request_timeout, "the request did not come whole in time");
        }
        timed_out_ = first_request_;  // a connection may rest between two requests
        return close();
    }
    const bool from_parser = error.category() == http::make_error_code(http::error::end_of_stream).category();
    if (!from_parser || error == http::error::end_of_stream) return fail(error);
    if (error == http::error::header_limit)
        return on_bad_request(http::status::request_header_fields_too_large,
                              "the head of the request is longer than " + std::to_string(limits_.header_bytes) +
                                  " bytes: shorten its parameters (of a capture, the filter)");
    if (error == http::error::body_limit) return on_bad_request(http::status::payload_too_large, error.message());
    // Who ended only his side of the connection still reads.
    if (error == http::error::partial_message)
        return on_bad_request(http::status::bad_request, "the request ended before it was whole");
    on_bad_request(http::status::bad_request, error.message());
}

void HttpSession::on_read(beast::error_code error) {
    if (!open_) return;
    if (error) return on_read_error(error);
    end_read();
    wait_for(Waiting::no);
    keep_alive_ = parser_->get().keep_alive() && !refuse_;
    chunked_ = parser_->get().version() >= 11;
    handle();
}

void HttpSession::on_bad_request(http::status status, std::string_view why) {
    keep_alive_ = false;
    head_only_ = parser_->get().method() == http::verb::head;
    const auto answer = std::make_shared<Answer>(shared_from_this(), Request{});
    answer_ = answer;
    reply_error(*answer, status, why);
}

void HttpSession::handle() {
    auto message = parser_->release();
    head_only_ = message.method() == http::verb::head;
    Request request{.method = message.method(),
                    .path = {},
                    .query = {},
                    .accept = std::string(message[http::field::accept]),
                    .body = std::move(message.body()),
                    .client_pid = pid_of_peer(stream_.socket().native_handle())};
    patient_ = false;
    const bool well_formed = decode_target(message.target(), request.path, request.query);
    const auto answer = std::make_shared<Answer>(shared_from_this(), std::move(request));
    answer_ = answer;
    if (refuse_) {
        reply_error(*answer, http::status::service_unavailable, "too many connections");
    } else if (!well_formed) {
        keep_alive_ = false;
        reply_error(*answer, http::status::bad_request, "malformed request target");
    } else {
        router_.dispatch(answer);
    }
}

void HttpSession::send(http::status status, std::string_view content_type, std::string body, const Fields& fields) {
    if (!open_) return;
    response_.emplace(status, chunked_ ? 11U : 10U);
    response_->set(http::field::server, "sluiced");
    response_->set(http::field::content_type, content_type);
    for (const auto& [name, value] : fields) response_->set(name, value);
    response_->keep_alive(keep_alive_);
    response_->body() = std::move(body);
    response_->prepare_payload();
    if (head_only_) response_->body().clear();  // Content-Length stands for what GET would get (RFC 9110, 9.3.2)
    wait_for(Waiting::reader);
    stream_.expires_after(limits_.timeout);
    http::async_write(stream_, *response_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) { self->after_answer(error); });
}

void HttpSession::start_stream(http::status status, std::string_view content_type, const Fields& fields) {
    if (!open_) return;
    stream_header_.emplace(status, chunked_ ? 11U : 10U);
    stream_header_->set(http::field::server, "sluiced");
    stream_header_->set(http::field::content_type, content_type);
    for (const auto& [name, value] : fields) stream_header_->set(name, value);
    if (!chunked_) keep_alive_ = false;
    stream_header_->keep_alive(keep_alive_);
    stream_header_->chunked(chunked_);
    stream_serializer_.emplace(*stream_header_);
    finishing_ = false;
    writing_ = true;
    wait_for(Waiting::reader);
    stream_.expires_after(limits_.timeout);
    http::async_write_header(stream_, *stream_serializer_,
                             [self = shared_from_this()](beast::error_code error, std::size_t) {
                                 self->writing_ = false;
                                 self->on_stream_started(error);
                             });
}

void HttpSession::on_stream_started(beast::error_code error) {
    if (!open_) return;
    stream_.expires_never();  // a capture may be silent for hours
    if (error) return fail(error);
    wait_for(Waiting::no);
    write_next();
}

void HttpSession::queue_chunk(std::string chunk, std::function<void()> written) {
    chunk_ = std::move(chunk);
    chunk_written_ = std::move(written);
    write_next();
}

void HttpSession::finish_stream() {
    finishing_ = true;
    write_next();
}

/// Writes the chunk that waits, or the end. One operation at a time.
void HttpSession::write_next() {
    if (!open_ || writing_) return;
    if (!chunk_.empty()) {
        writing_ = true;
        wait_for(Waiting::reader);
        if (!patient_) stream_.expires_after(limits_.timeout);
        auto done = [self = shared_from_this()](beast::error_code error, std::size_t) {
            self->writing_ = false;
            if (!self->open_) return;
            self->stream_.expires_never();
            if (error) return self->fail(error);
            self->wait_for(Waiting::no);
            self->chunk_.clear();
            if (auto written = std::exchange(self->chunk_written_, nullptr)) written();
            self->write_next();
        };
        if (chunked_) {
            asio::async_write(stream_, http::make_chunk(asio::buffer(chunk_)), std::move(done));
        } else {
            asio::async_write(stream_, asio::buffer(chunk_), std::move(done));
        }
    } else if (finishing_) {
        writing_ = true;
        finishing_ = false;
        auto done = [self = shared_from_this()](beast::error_code error, std::size_t) {
            self->writing_ = false;
            self->after_answer(error);
        };
        if (!chunked_) return asio::post(stream_.get_executor(), [done] { done({}, 0); });
        wait_for(Waiting::reader);
        stream_.expires_after(limits_.timeout);
        asio::async_write(stream_, http::make_chunk_last(), std::move(done));
    }
}

void HttpSession::after_answer(beast::error_code error) {
    if (!open_) return;
    if (error || !keep_alive_) {
        beast::error_code ignored;
        stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
        if (error) return fail(error);
        wait_for(Waiting::head);
        stream_.expires_after(kDrainTime);
        return drain();
    }
    read();
}

/// Reads what the client still sends (say, the rest of a body that was too large): closing with unread data would reset
/// the connection, and the client might never see the answer.
void HttpSession::drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(16 << 10),
                            [self = shared_from_this()](beast::error_code error, std::size_t bytes) {
                                if (!self->open_) return;
                                self->drained_bytes_ += bytes;
                                if (error || self->drained_bytes_ > kDrainBytes) return self->close();
                                self->drain();
                            });
}

/// A client that leaves while nothing is sent shows only as a hang-up of its socket.
void HttpSession::watch_for_hangup() {
    if (std::exchange(watching_, true)) return;
    stream_.socket().async_wait(asio::socket_base::wait_error, [weak = weak_from_this()](beast::error_code error) {
        const auto self = weak.lock();
        if (self && !error && self->open_) self->close();
    });
}

}  // namespace sluice::api
