// Workers' rings and listeners: who hears what, what is counted, and when workers are told to begin and to stop.
#include "control/app/event_hub.hh"

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct HubRoom {
    HubRoom() {
        ensure_eal();
        for (unsigned i = 0; i < 2; ++i) {
            static unsigned number = 0;
            orders.push_back(std::make_unique<Ring<Order>>("hub" + std::to_string(number++), 8, SOCKET_ID_ANY));
        }
        hub = std::make_unique<EventHub>(
            std::vector<EventHub::Worker>{{orders[0].get(), &lost[0]}, {orders[1].get(), &lost[1]}},
            [](unsigned worker, const FlowEvent& event) {
                api::FlowEventRecord record;
                record.flow.worker = static_cast<std::uint16_t>(worker);
                record.flow.id = event.flow.id;
                return record;
            });
    }
    /// What the worker was ordered: its ring, nullptr for an end; nothing when there was no order.
    std::optional<Ring<FlowEvent>*> ordered(unsigned worker) {
        Order order;
        if (orders[worker]->take(&order, 1) == 0) return std::nullopt;
        REQUIRE(order.kind == OrderKind::watch);
        return reinterpret_cast<Ring<FlowEvent>*>(order.target);
    }
    static void tell(Ring<FlowEvent>& ring, std::uint32_t id) {
        FlowEvent event;
        event.flow.id = id;
        REQUIRE(ring.post(event));
    }
    struct Ear {
        std::vector<std::uint64_t> ids;
        std::uint64_t lost = 0;
        [[nodiscard]] api::EventHandlers handlers() {
            return {[this](const api::FlowEventRecord& event) { ids.push_back(event.flow.id); },
                    [this](std::uint64_t events) { lost += events; }};
        }
    };

    std::vector<std::unique_ptr<Ring<Order>>> orders;
    Counter lost[2];
    std::unique_ptr<EventHub> hub;
};

}  // namespace

TEST_CASE_METHOD(HubRoom, "workers begin with the first listener and stop with the last") {
    CHECK_FALSE(hub->poll(64));
    CHECK_FALSE(ordered(0));
    Ear one, two;
    auto first = hub->watch(one.handlers());
    auto ring = ordered(0), other = ordered(1);
    REQUIRE((ring && *ring != nullptr && other && *other != nullptr));
    auto second = hub->watch(two.handlers());
    CHECK_FALSE(ordered(0));
    CHECK(hub->listeners() == 2);
    tell(**ring, 7);
    tell(**other, 8);
    CHECK_FALSE(hub->poll(64));
    CHECK(one.ids == std::vector<std::uint64_t>{7, 8});
    CHECK(two.ids == one.ids);
    first.reset();
    CHECK_FALSE(ordered(0));
    tell(**ring, 9);
    CHECK_FALSE(hub->poll(64));
    CHECK(one.ids.size() == 2);
    CHECK(two.ids.size() == 3);
    second.reset();
    const auto end = ordered(0);
    CHECK((end && *end == nullptr));
    tell(**ring, 10);  // posted before the worker knew
    CHECK_FALSE(hub->poll(64));
    auto third = hub->watch(one.handlers());
    CHECK((ordered(0) == ring && hub->listeners() == 1));
    CHECK(one.ids.size() == 2);
}

TEST_CASE_METHOD(HubRoom, "a poll is bounded, and says that there is more") {
    Ear ear;
    const auto watch = hub->watch(ear.handlers());
    auto& ring = **ordered(0);
    for (std::uint32_t i = 0; i < 300; ++i) tell(ring, i);
    CHECK(hub->poll(100));
    CHECK(ear.ids.size() == 100);
    CHECK(hub->poll(100));
    CHECK_FALSE(hub->poll(100));
    CHECK(ear.ids.size() == 300);
    CHECK(hub->told() == 300);
}

TEST_CASE_METHOD(HubRoom, "what a worker could not tell is told to all, once") {
    lost[1].add(5);  // before anybody listened
    Ear one, two;
    const auto first = hub->watch(one.handlers());
    const auto second = hub->watch(two.handlers());
    CHECK_FALSE(hub->poll(64));
    CHECK(one.lost == 0);
    lost[0].add(3);
    lost[1].add(1);
    CHECK_FALSE(hub->poll(64));
    CHECK_FALSE(hub->poll(64));
    CHECK(one.lost == 4);
    CHECK(two.lost == 4);
    first->count_lost(11);
    CHECK(hub->lost_by_listeners() == 11);
}

TEST_CASE_METHOD(HubRoom, "an order that found no room is given again") {
    for (unsigned i = 0; i < 7; ++i) REQUIRE(orders[0]->post({OrderKind::expire, i, 1, 0, 0}));
    Ear ear;
    const auto watch = hub->watch(ear.handlers());
    Order order;
    for (unsigned i = 0; i < 7; ++i) REQUIRE(orders[0]->take(&order, 1) == 1);
    CHECK_FALSE(ordered(0));
    CHECK_FALSE(hub->poll(64));
    CHECK(ordered(0));
}

TEST_CASE_METHOD(HubRoom, "who leaves while others are told is not told again") {
    Ear ear;
    std::unique_ptr<api::EventWatch> leaving;
    const auto staying = hub->watch({[&](const api::FlowEventRecord&) { leaving.reset(); }, [](std::uint64_t) {}});
    leaving = hub->watch(ear.handlers());
    auto& ring = **ordered(0);
    tell(ring, 1);
    tell(ring, 2);
    CHECK_FALSE(hub->poll(64));
    CHECK(ear.ids.empty());
    CHECK(hub->listeners() == 1);
}
