#include "control/linux/rtnl_socket.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <new>
#include <sys/socket.h>
#include <sys/time.h>

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

namespace sluice {
namespace {

/// The explanation that the kernel may append to its error code (NLMSGERR_ATTR_MSG).
std::string explanation(const nlmsghdr& message) {
    constexpr int kHeader = static_cast<int>(sizeof(nlmsgerr));
    // NETLINK_CAP_ACK: the request is not repeated, so the attributes follow the fixed part at once.
    if ((message.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || nlmsg_valid_hdr(&message, kHeader) == 0) return {};
    std::array<nlattr*, NLMSGERR_ATTR_MAX + 1> attributes{};
    std::array<nla_policy, NLMSGERR_ATTR_MAX + 1> policy{};
    policy[NLMSGERR_ATTR_MSG] = {.type = NLA_STRING, .minlen = 1};
    if (nlmsg_parse(const_cast<nlmsghdr*>(&message), kHeader, attributes.data(), NLMSGERR_ATTR_MAX, policy.data()) <
            0 ||
        attributes[NLMSGERR_ATTR_MSG] == nullptr)
        return {};
    return nla_get_string(attributes[NLMSGERR_ATTR_MSG]);
}

RtnlSocket::Answer answer_of(int error, std::string text = {}) {
    if (text.empty() && error != 0) text = std::strerror(error);
    return {error, std::move(text)};
}

}  // namespace

template <class Header>
NlMessage make_message(int type, int flags, const Header& header) {
    NlMessage message{nlmsg_alloc_simple(type, flags), &nlmsg_free};
    if (!message || nlmsg_append(message.get(), const_cast<Header*>(&header), sizeof header, NLMSG_ALIGNTO) < 0)
        throw std::bad_alloc{};
    return message;
}
template NlMessage make_message(int, int, const ifinfomsg&);
template NlMessage make_message(int, int, const ifaddrmsg&);
template NlMessage make_message(int, int, const rtmsg&);
template NlMessage make_message(int, int, const ndmsg&);
template NlMessage make_message(int, int, const fib_rule_hdr&);

RtnlSocket::RtnlSocket(nl_sock* socket) : socket_(socket) {}
RtnlSocket::~RtnlSocket() {
    nl_socket_free(socket_);
}

OrFailure<std::unique_ptr<RtnlSocket>> RtnlSocket::open() {
    nl_sock* raw = nl_socket_alloc();
    if (raw == nullptr) return Failure{"netlink socket: out of memory"};
    std::unique_ptr<RtnlSocket> socket{new RtnlSocket(raw)};
    if (const int error = nl_connect(raw, NETLINK_ROUTE); error < 0)
        return Failure{std::string("netlink socket: ") + nl_geterror(error)};
    const int fd = nl_socket_get_fd(raw);
    const int on = 1;
    // Niceties of newer kernels; an old one answers without them. The timeout is for a kernel that breaks its word.
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    const timeval patience{.tv_sec = 1, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return socket;
}

RtnlSocket::Answer RtnlSocket::exchange(NlMessage message, const ReplyHandler& on_reply) {
    nlmsghdr* request = nlmsg_hdr(message.get());
    const bool is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (is_dump) nl_socket_disable_auto_ack(socket_);
    nl_complete_msg(socket_, message.get());
    nl_socket_enable_auto_ack(socket_);
    const auto sequence = request->nlmsg_seq;
    const int fd = nl_socket_get_fd(socket_);
    if (send(fd, request, request->nlmsg_len, 0) < 0) return answer_of(errno);

    alignas(nlmsghdr) std::array<char, 32768> buffer;
    while (true) {
        const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return answer_of(errno);
        int left = static_cast<int>(got);
        for (auto* at = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(at, left) != 0;
             at = nlmsg_next(at, &left)) {
            if (at->nlmsg_seq != sequence) continue;  // the tail of an exchange that was given up
            if (at->nlmsg_type == NLMSG_DONE) return {};
            if (at->nlmsg_type == NLMSG_ERROR) {
                if (nlmsg_valid_hdr(at, sizeof(nlmsgerr)) == 0) return answer_of(EBADMSG);
                return answer_of(-static_cast<nlmsgerr*>(nlmsg_data(at))->error, explanation(*at));
            }
            if (on_reply) on_reply(*at);
        }
    }
}

Failure failure_of(std::string what, const RtnlSocket::Answer& answer) {
    return {std::move(what) + ": " + answer.text};
}

}  // namespace sluice
