#include "control/linux/guard_watch.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

namespace sluice {

class GuardWatch::Impl : public std::enable_shared_from_this<GuardWatch::Impl> {
public:
    static constexpr unsigned kReadsPerWakeUp = 64;

    Impl(boost::asio::io_context& io, int fd, std::function<bool()> look, std::function<void(const Failure&)> lost,
         const GuardWatchOptions& options)
        : stream_(io, fd), timer_(io), look_(std::move(look)), lost_(std::move(lost)), options_(options) {}

    void wait() {
        stream_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (!error && !self->closed_) self->read_some();
                           });
    }

    void close() {
        closed_ = true;
        boost::system::error_code ignored;
        stream_.close(ignored);
        timer_.cancel();
    }

    GuardWatchCounters counters;

private:
    void read_some() {
        for (unsigned n = 0; n < kReadsPerWakeUp; ++n) {
            std::array<char, 16> start{};  // the rest of a message is thrown away
            const ssize_t got = ::recv(stream_.native_handle(), start.data(), start.size(), MSG_DONTWAIT);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
            if (got < 0 && errno != ENOBUFS)
                return lost_({std::string("nftables notifications: ") + std::strerror(errno)});
            if (got < 0) ++counters.overruns;
            changed_ = true;
        }
        if (!pausing_) look();
        if (!closed_) wait();
    }

    void look() {
        if (!std::exchange(changed_, false)) return;
        ++counters.looks;
        const bool done = look_();
        if (closed_) return;
        if (!done) changed_ = true;
        pausing_ = true;
        timer_.expires_after(done ? options_.pause : options_.retry_in);
        timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (error || self->closed_) return;
            self->pausing_ = false;
            self->look();
        });
    }

    boost::asio::posix::stream_descriptor stream_;
    boost::asio::steady_timer timer_;
    std::function<bool()> look_;
    std::function<void(const Failure&)> lost_;
    GuardWatchOptions options_;
    bool changed_ = false;
    bool pausing_ = false;
    bool closed_ = false;
};

GuardWatch::GuardWatch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
GuardWatch::~GuardWatch() {
    impl_->close();
}
const GuardWatchCounters& GuardWatch::counters() const {
    return impl_->counters;
}

OrFailure<std::unique_ptr<GuardWatch>> GuardWatch::open(boost::asio::io_context& io, std::function<bool()> look,
                                                        std::function<void(const Failure&)> lost,
                                                        const GuardWatchOptions& options) {
    const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (fd < 0) return Failure{std::string("nftables notifications: ") + std::strerror(errno)};
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    const int group = NFNLGRP_NFTABLES;
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
        const int error = errno;
        ::close(fd);
        return Failure{std::string("nftables notifications: ") + std::strerror(error)};
    }
    const int bytes = options.receive_buffer_bytes;
    if (bytes != 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    auto impl = std::make_shared<Impl>(io, fd, std::move(look), std::move(lost), options);
    impl->wait();
    return std::unique_ptr<GuardWatch>(new GuardWatch(std::move(impl)));
}

}  // namespace sluice
