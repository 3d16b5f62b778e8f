// Says when somebody changed nftables, so that the guard can be looked at: `nft flush ruleset` (with which many a
// firewall script begins) takes the tables of sluice away like all others.
//
// The kernel tells of each change of the namespace's rules, our own included, in as many messages as it had parts. What
// they say is not asked, only that there were some: whoever looks compares with what was written. After a look there is
// a pause, so that a machine whose rules change all the time costs ten looks a second at most.
// Life cycle: from open() until the destructor. Owner: the control thread; everything comes by handlers of the
// io_context. Failure policy: messages lost by the kernel (ENOBUFS) are a reason to look as well.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "control/linux/kernel.hh"

namespace sluice {

struct GuardWatchOptions {
    int receive_buffer_bytes = 0;              ///< of the socket; 0: the kernel's default
    std::chrono::milliseconds pause{100};      ///< between two looks
    std::chrono::milliseconds retry_in{1000};  ///< after a look that failed
};

struct GuardWatchCounters {
    std::uint64_t looks = 0;
    std::uint64_t overruns = 0;  ///< the kernel lost messages for us
};

class GuardWatch {
public:
    /// `look` is called after changes; false: it could not be done, call it again. `lost`: nothing will come any more.
    static OrFailure<std::unique_ptr<GuardWatch>> open(boost::asio::io_context& io, std::function<bool()> look,
                                                       std::function<void(const Failure&)> lost,
                                                       const GuardWatchOptions& options = {});
    ~GuardWatch();
    GuardWatch(const GuardWatch&) = delete;
    GuardWatch& operator=(const GuardWatch&) = delete;

    [[nodiscard]] const GuardWatchCounters& counters() const;

private:
    class Impl;
    explicit GuardWatch(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;  ///< also held by the waits in progress
};

}  // namespace sluice
