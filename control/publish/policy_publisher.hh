// The policy in force and how the next one comes to be:
//
//   apply(config) → unchanged? → needs a restart? → compile helper builds → back here → publication → grace period →
//   freed
//                   answered     refused            (nothing live touched)   generation + 1             counters
//                   carried
//
// One compilation at a time, and the latest request wins: a request that a newer one overtakes, waiting or being
// compiled, is told so and changes nothing. Failure: whatever goes wrong, the running policy stays as it was and the
// requester gets a sentence for each reason.
//
// Owner: the control thread; every handler runs on it, never within apply(). The helper thread knows only its own
// copies. End: workers are gone, then destroy; a compilation in progress is waited for and its result thrown away, and
// handlers of unanswered requests are not called.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "control/compile/compile.hh"
#include "control/config/schema.hh"
#include "control/publish/rule_ledger.hh"
#include "dataplane/base/publication.hh"
#include "dataplane/policy/policy.hh"

namespace sluice {

enum class ApplyOutcome : std::uint8_t {
    published,   ///< in force now
    unchanged,   ///< equal to what is in force
    refused,     ///< needs a restart: see messages
    superseded,  ///< a newer request took its place
    failed,      ///< no policy can hold it: see messages
};

struct ApplyResult {
    ApplyOutcome outcome = ApplyOutcome::failed;
    std::uint32_t generation = 0;       ///< of the policy in force
    std::vector<std::string> messages;  ///< why not, one each
    std::shared_ptr<const config::Config>
        previous;  ///< with published: what was in force before, for what else changed

    [[nodiscard]] bool ok() const noexcept {
        return outcome == ApplyOutcome::published || outcome == ApplyOutcome::unchanged;
    }
};
using ApplyHandler = std::function<void(ApplyResult)>;

class PolicyPublisher {
public:
    /// Compiles and publishes the first policy, generation 1, on the calling thread: before workers start. `io` and
    /// `grace` must outlive the publisher and whoever holds its publication. Throws CompileError.
    PolicyPublisher(boost::asio::io_context& io, GracePeriods& grace, const CompileTarget& target,
                    config::Config first);
    ~PolicyPublisher();
    PolicyPublisher(const PolicyPublisher&) = delete;
    PolicyPublisher& operator=(const PolicyPublisher&) = delete;

    /// Asks for `wanted`, a Config as the loader returns it. `handler` is called once, unless the publisher is
    /// destroyed first. Old policies are freed by whoever calls GracePeriods::reclaim().
    void apply(config::Config wanted, ApplyHandler handler);

    /// What workers read.
    [[nodiscard]] const Publication<Policy>& publication() const noexcept { return publication_; }

    // --- of the policy in force; valid until the next handler or event of the control thread
    [[nodiscard]] std::uint32_t generation() const noexcept { return publication_.load()->generation; }
    [[nodiscard]] const config::Config& config() const noexcept { return *config_; }
    [[nodiscard]] const CompileTarget& target() const noexcept { return target_; }
    [[nodiscard]] const PolicyNames& names() const noexcept { return names_; }
    /// By rule number, carried over reloads; the rules themselves are names().rules.
    [[nodiscard]] std::vector<RuleTotal> rule_totals() const { return ledger_->totals(); }

private:
    struct Request {
        std::shared_ptr<const config::Config> config;
        ApplyHandler handler;
    };
    /// What comes back from the helper.
    struct Compiled {
        std::optional<CompiledPolicy> policy;
        std::string error;
    };

    void begin(Request request);
    void finish(Compiled compiled);
    void publish(CompiledPolicy compiled, std::shared_ptr<const config::Config> config);
    void answer(ApplyHandler handler, ApplyResult result);
    [[nodiscard]] static Compiled compile(const config::Config& config, const CompileTarget& target,
                                          std::uint32_t generation, LogPrefixes former, NatGauges gauges,
                                          TimeoutIds timeout_ids) noexcept;

    boost::asio::io_context& io_;
    GracePeriods& grace_;
    CompileTarget target_;
    std::shared_ptr<RuleLedger> ledger_ = std::make_shared<RuleLedger>();  // shared with policies in grace
    Publication<Policy> publication_;
    std::shared_ptr<const config::Config> config_;
    PolicyNames names_;
    std::optional<Request> compiling_, waiting_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();  // handlers on io_ see by it that the publisher is gone
    boost::asio::thread_pool helper_{1};                      // last: joined before anything else goes
};

}  // namespace sluice
