// The words of a configuration file for the enumerations of schema.hh: one table each, for reading and for printing.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "control/config/schema.hh"
#include "dataplane/base/invalid_reason.hh"

namespace sluice::config {

template <class E>
struct EnumName {
    std::string_view name;
    E value;
};

inline constexpr std::array<EnumName<IdleMode>, 2> kIdleModes{{{"spin", IdleMode::spin}, {"sleep", IdleMode::sleep}}};
inline constexpr std::array<EnumName<HugepageMode>, 2> kHugepageModes{
    {{"auto", HugepageMode::automatic}, {"off", HugepageMode::off}}};
inline constexpr std::array<EnumName<PortRole>, 2> kPortRoles{
    {{"inside", PortRole::inside}, {"outside", PortRole::outside}}};
inline constexpr std::array<EnumName<ConntrackProfile>, 2> kProfiles{
    {{"linux", ConntrackProfile::linux_like}, {"cgn", ConntrackProfile::cgn}}};
inline constexpr std::array<EnumName<ChainPolicy>, 2> kChainPolicies{
    {{"accept", ChainPolicy::accept}, {"drop", ChainPolicy::drop}}};
inline constexpr std::array<EnumName<FilterAction>, 3> kFilterActions{
    {{"accept", FilterAction::accept}, {"drop", FilterAction::drop}, {"reject", FilterAction::reject}}};
inline constexpr std::array<EnumName<FilterAction>, 3> kRawActions{
    {{"accept", FilterAction::accept}, {"drop", FilterAction::drop}, {"notrack", FilterAction::notrack}}};
inline constexpr std::array<EnumName<RejectWith>, 3> kRejectWith{{{"port-unreachable", RejectWith::port_unreachable},
                                                                  {"admin-prohibited", RejectWith::admin_prohibited},
                                                                  {"tcp-reset", RejectWith::tcp_reset}}};
inline constexpr std::array<EnumName<Schedule>, 3> kSchedules{
    {{"round-robin", Schedule::round_robin}, {"random", Schedule::random}, {"source-hash", Schedule::source_hash}}};
inline constexpr std::array<EnumName<ExistingFlows>, 3> kExistingFlows{
    {{"keep", ExistingFlows::keep}, {"rebind", ExistingFlows::rebind}, {"kill", ExistingFlows::kill}}};
inline constexpr std::array<EnumName<LogLevel>, 5> kLogLevels{{{"trace", LogLevel::trace},
                                                               {"debug", LogLevel::debug},
                                                               {"info", LogLevel::info},
                                                               {"warning", LogLevel::warning},
                                                               {"error", LogLevel::error}}};

/// A packet state by its member of StateMatch.
inline constexpr std::array<EnumName<bool StateMatch::*>, 5> kStates{{{"new", &StateMatch::new_flow},
                                                                      {"established", &StateMatch::established},
                                                                      {"related", &StateMatch::related},
                                                                      {"invalid", &StateMatch::invalid},
                                                                      {"untracked", &StateMatch::untracked}}};

template <class E, std::size_t N>
constexpr std::string_view name_of(const std::array<EnumName<E>, N>& names, E value) noexcept {
    for (const EnumName<E>& name : names) {
        if (name.value == value) return name.name;
    }
    return {};
}

/// The names of the reasons in a set of FilterRule::invalid_reasons.
inline std::vector<std::string_view> invalid_reason_names(std::uint32_t reasons) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < kInvalidReasonCount; ++i)
        if ((reasons >> i & 1) != 0) names.push_back(kInvalidReasonNames[i]);
    return names;
}

}  // namespace sluice::config
