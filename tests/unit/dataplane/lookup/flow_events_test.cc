// What is told of a burst's events, in which order, and what is not: by hand, without packets.
#include "dataplane/lookup/flow_events.hh"

#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/eal.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct EventsRoom {
    EventsRoom() {
        ensure_eal();
        static unsigned number = 0;
        ring = std::make_unique<Ring<FlowEvent>>("fe" + std::to_string(number++), 512, SOCKET_ID_ANY);
        events.listen(ring.get());
        events.at(5000);
    }
    static FlowCopy flow(SlotIndex slot, std::uint32_t generation = 1) {
        FlowCopy copy;
        copy.slot = slot;
        copy.generation = generation;
        return copy;
    }
    /// "+1" born, "~1" updated, "-1" destroyed.
    std::string told() {
        events.tell([this](SlotIndex slot, std::uint32_t, const void* cause) {
            kept.append(std::to_string(slot)).append(cause == &one ? "one " : "two ");
        });
        std::string text;
        for (FlowEvent event; ring->take(&event, 1) == 1;) {
            text.append(1, "+~-"[static_cast<std::size_t>(event.kind)]).append(std::to_string(event.flow.slot));
            if (event.changes != 0) text.append(":").append(std::to_string(event.changes));
            text.append(" ");
            CHECK(event.at_ms == 5000);
            last = event;
        }
        return text;
    }

    WorkerCounters counters;
    FlowEvents events{counters};
    std::unique_ptr<Ring<FlowEvent>> ring;
    int one = 0, two = 0;  // stand for packets
    std::string kept;
    FlowEvent last;
};

}  // namespace

TEST_CASE_METHOD(EventsRoom, "events: births and deaths are told, in order") {
    events.created(flow(1));
    events.created(flow(2));
    events.destroyed(flow(3), 77);
    CHECK(told() == "+1 +2 -3 ");
    CHECK(last.by == 77);
    CHECK(counters.events_told.get() == 3);
}

TEST_CASE_METHOD(EventsRoom, "events: what a packet has changed is told when it leaves, else kept") {
    events.updated(flow(1), 0, 0, &one);
    events.updated(flow(2), 0, 0, &two);
    FlowCopy now = flow(1);
    now.mark = 9;
    CHECK(events.settle(&one, false, now, changed::kState | changed::kMark));
    CHECK(told() == "~1:20 ");
    CHECK(last.flow.mark == 9);
    CHECK(kept == "2two ");
    CHECK_FALSE(events.settle(&two, false, flow(2), changed::kState));
}

TEST_CASE_METHOD(EventsRoom, "events: a birth has what its own packet did behind it, and no other's mark") {
    events.created(flow(1));
    events.updated(flow(1), 0, 0, &two);
    FlowCopy now = flow(1);
    now.mark = 9;
    now.status = status::kHelper | status::kAssured;
    CHECK(events.settle(&two, false, now, changed::kAssured));
    CHECK(events.settle(&one, true, now, changed::kHelper));
    events.tell([](SlotIndex, std::uint32_t, const void*) {});
    FlowEvent birth, update;
    REQUIRE(ring->take(&birth, 1) == 1);
    REQUIRE(ring->take(&update, 1) == 1);
    CHECK(birth.kind == FlowEventKind::created);
    CHECK(birth.flow.status == status::kHelper);
    CHECK(birth.flow.mark == 0);
    CHECK(update.kind == FlowEventKind::updated);
    CHECK(update.changes == changed::kAssured);
}

TEST_CASE_METHOD(EventsRoom, "events: a flow that ends before its birth was told has never been") {
    events.created(flow(1));
    events.updated(flow(1), 0, 0, &one);
    events.created(flow(2));
    events.destroyed(flow(1), 0);
    CHECK(told() == "+2 ");
    CHECK(kept.empty());
    events.created(flow(1, 2));  // the slot's next flow is another one
    CHECK(told() == "+1 ");
    events.destroyed(flow(1, 2), 0);
    CHECK(told() == "-1 ");
}

TEST_CASE_METHOD(EventsRoom, "events: what waited for a packet of a flow that has ended is not told behind its end") {
    events.updated(flow(1), 0, 0, &one);
    events.updated(flow(2), changed::kMark, 5);
    events.destroyed(flow(1), 0);
    CHECK(told() == "~2:16 -1 ");
    CHECK(kept.empty());
}

TEST_CASE_METHOD(EventsRoom, "events: more than there is room for are told early, none is lost") {
    for (SlotIndex slot = 0; slot < 300; ++slot) events.destroyed(flow(slot), 0);
    events.tell_all();
    unsigned count = 0;
    for (FlowEvent event; ring->take(&event, 1) == 1; ++count) CHECK(event.flow.slot == count);
    CHECK(count == 300);
    CHECK(counters.events_lost.get() == 0);
}

TEST_CASE_METHOD(EventsRoom, "events: a full ring loses, and counts") {
    for (SlotIndex slot = 0; slot < 600; ++slot) events.destroyed(flow(slot), 0);
    events.tell_all();
    CHECK(counters.events_told.get() == 511);
    CHECK(counters.events_lost.get() == 89);
}

TEST_CASE_METHOD(EventsRoom, "events: the end of listening loses nothing that was noted") {
    events.created(flow(1));
    events.listen(nullptr);
    CHECK_FALSE(events.on());
    CHECK(told() == "+1 ");
}
