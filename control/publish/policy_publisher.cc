#include "control/publish/policy_publisher.hh"

#include <exception>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "control/publish/restart_check.hh"

namespace sluice {

namespace asio = boost::asio;

PolicyPublisher::PolicyPublisher(asio::io_context& io, GracePeriods& grace, const CompileTarget& target,
                                 config::Config first)
    : io_(io), grace_(grace), target_(target) {
    auto config = std::make_shared<const config::Config>(std::move(first));
    publish(compile_policy(*config, target_, 1), config);
}

PolicyPublisher::~PolicyPublisher() {
    helper_.join();
}

void PolicyPublisher::apply(config::Config wanted, ApplyHandler handler) {
    Request request{std::make_shared<const config::Config>(std::move(wanted)), std::move(handler)};
    if (!compiling_) return begin(std::move(request));
    if (waiting_) answer(std::move(waiting_->handler), {ApplyOutcome::superseded});
    waiting_ = std::move(request);
}

void PolicyPublisher::begin(Request request) {
    if (*request.config == *config_) return answer(std::move(request.handler), {ApplyOutcome::unchanged});
    if (auto messages = needs_restart(*config_, *request.config, target_); !messages.empty())
        return answer(std::move(request.handler), {ApplyOutcome::refused, 0, std::move(messages)});

    // 0 stands for "no policy" in verdict caches and flows.
    const std::uint32_t next = generation() + 1 == 0 ? 1 : generation() + 1;
    compiling_ = std::move(request);
    asio::post(helper_, [this, alive = std::weak_ptr(alive_), &io = io_, work = asio::make_work_guard(io_),
                         config = compiling_->config, target = target_, next, former = names_.log_prefixes,
                         gauges = names_.nat_gauges, timeout_ids = names_.timeout_ids]() mutable {
        auto compiled = compile(*config, target, next, std::move(former), std::move(gauges), std::move(timeout_ids));
        asio::post(io, [this, alive = std::move(alive), compiled = std::move(compiled)]() mutable {
            if (alive.lock() != nullptr) finish(std::move(compiled));
        });
    });
}

PolicyPublisher::Compiled PolicyPublisher::compile(const config::Config& config, const CompileTarget& target,
                                                   std::uint32_t generation, LogPrefixes former, NatGauges gauges,
                                                   TimeoutIds timeout_ids) noexcept {
    try {
        return {
            compile_policy(config, target, generation, std::move(former), std::move(gauges), std::move(timeout_ids)),
            {}};
    } catch (const std::exception& error) {
        return {std::nullopt, error.what()};
    }
}

void PolicyPublisher::finish(Compiled compiled) {
    Request done = *std::exchange(compiling_, std::nullopt);
    if (waiting_) {
        answer(std::move(done.handler), {ApplyOutcome::superseded});
        return begin(*std::exchange(waiting_, std::nullopt));
    }
    if (!compiled.policy)
        return answer(std::move(done.handler), {ApplyOutcome::failed, 0, {std::move(compiled.error)}});
    auto previous = config_;
    publish(*std::move(compiled.policy), std::move(done.config));
    answer(std::move(done.handler), {ApplyOutcome::published, 0, {}, std::move(previous)});
}

void PolicyPublisher::publish(CompiledPolicy compiled, std::shared_ptr<const config::Config> config) {
    ledger_->start(*compiled.policy, compiled.names);
    config_ = std::move(config);
    names_ = std::move(compiled.names);
    publication_.publish(std::move(compiled.policy), grace_,
                         [ledger = ledger_](const Policy& former) { ledger->retire(former); });
}

void PolicyPublisher::answer(ApplyHandler handler, ApplyResult result) {
    asio::post(
        io_, [this, alive = std::weak_ptr(alive_), handler = std::move(handler), result = std::move(result)]() mutable {
            if (alive.lock() == nullptr) return;
            result.generation = generation();
            handler(std::move(result));
        });
}

}  // namespace sluice
