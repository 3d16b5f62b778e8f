// One request to rtnetlink and its answer. The kernel has queued the answer when the send returns, so the receive does
// not wait. Owner: whoever owns the object; no sharing between threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/linux/kernel.hh"

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

namespace sluice {

/// A message under construction; freed with its owner.
using NlMessage = std::unique_ptr<nl_msg, void (*)(nl_msg*)>;

/// An rtnetlink message of `type` with NLM_F_… `flags` and the fixed header of the kind.
template <class Header>
NlMessage make_message(int type, int flags, const Header& header);

class RtnlSocket {
public:
    using ReplyHandler = std::function<void(const nlmsghdr& reply)>;

    static OrFailure<std::unique_ptr<RtnlSocket>> open();
    ~RtnlSocket();
    RtnlSocket(const RtnlSocket&) = delete;
    RtnlSocket& operator=(const RtnlSocket&) = delete;

    /// What the kernel answered: 0, or an errno with its explanation, where it gave one.
    struct Answer {
        int error = 0;
        std::string text;
        [[nodiscard]] bool ok() const noexcept { return error == 0; }
    };

    /// Sends, and hands each message of the reply but the acknowledgement to `on_reply`.
    Answer exchange(NlMessage message, const ReplyHandler& on_reply = {});

private:
    explicit RtnlSocket(nl_sock* socket);
    nl_sock* socket_;
};

/// "what: answer".
Failure failure_of(std::string what, const RtnlSocket::Answer& answer);

}  // namespace sluice
